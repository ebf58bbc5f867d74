/** A mount lives as long as the kernel's session: a process that began a mount namespace of its own keeps a copy of it. */
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { eventually, hasProgram, mountedFor, startCluster } from '../support/cluster.ts';
import { canMount, isAlive, isMounted } from '../support/sandbox.ts';

describe.skipIf(!canMount || !hasProgram('unshare'))('a mount that another mount namespace has, too', () => {
  const cluster = startCluster();

  it('ends with the last of them, not with umount', async () => {
    await cluster.createAndStart('copied', [], 1);
    const mount = await cluster.mount('copied');
    const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sleep', '600'], { stdio: 'ignore' });
    await eventually('the other namespace', () => mountedFor(mount.path).includes(String(holder.pid)));
    await cluster.sh(`umount ${mount.path}`);
    await eventually('the umount here', () => !isMounted(mount.path));
    expect(mountedFor(mount.path)).toEqual([String(holder.pid)]);
    expect(isAlive(mount.pid)).toBe(true);
    holder.kill('SIGKILL');
    await eventually('the end of the mount', () => !isAlive(mount.pid));
    await cluster.destroy('copied');
  }, 120_000);
});
