/** `.meta` of a mount as scripts read it: a mount in this process, programs beside it. Needs root and /dev/fuse. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Host, HostServices, LineLog, processArguments, SystemClock } from '@mortar/host';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { canMount } from './mount-rig.ts';
import { mountRole } from './mount-role.ts';

/**
 * Never the synchronous kind: this process serves the mount. Nor with the mount as `cwd`: while a child is made, which
 * includes its change of directory, its parent stands still.
 */
function sh(script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      'bash',
      ['-c', script],
      { cwd: '/', timeout: 10_000, env: { ...process.env, LC_ALL: 'C' } },
      (error, out, err) => (error ? reject(new Error(`${error.message}\n${err}`)) : resolve(out.trimEnd())),
    );
  });
}

const volfile = (readHashMode: number, top: string) => `
volume v-memory-0
  type storage/memory
  option size 16MB
end-volume
volume v-memory-1
  type storage/memory
  option size 16MB
end-volume
volume v-replicate-0
  type cluster/replicate
  option read-hash-mode ${readHashMode}
  subvolumes v-memory-0 v-memory-1
end-volume
volume ${top}
  type debug/io-stats
  option count-fop-hits on
  subvolumes v-replicate-0
end-volume
`;

describe.skipIf(!canMount())('.meta of a mount', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mortar-meta-'));
  const mountPoint = join(folder, 'mnt');
  const source = join(folder, 'test.vol');
  const lines: string[] = [];
  let host: Host;
  const run = (script: string) => sh(`cd ${mountPoint} && { ${script}\n}`);

  beforeAll(async () => {
    await sh(`mkdir ${mountPoint}`);
    writeFileSync(source, volfile(2, 'v'));
    const args = processArguments(['-f', source, '--attribute-timeout=3', '-l', '-', mountPoint], '/');
    const clock = new SystemClock();
    const target = { write: (line: string) => void lines.push(line), reopen: () => undefined, close: () => undefined };
    host = new Host('glusterfs', args, new HostServices(new LineLog(target, clock), clock));
    vi.spyOn(host, 'exit').mockImplementation(() => undefined);
    await mountRole(host);
  });

  afterAll(async () => {
    await host.stop('the test is over');
    rmSync(folder, { recursive: true });
    expect(lines.filter((line) => /\] [EC] /.test(line))).toEqual([]);
  });

  it('is there and does not show', async () => {
    expect(await run('ls -A; stat -c "%F %a %U" .meta')).toBe('directory 555 root');
    expect(await run('ls -a .meta | head -3')).toBe('.\n..\ncmdline');
  });

  it('is read by cat, grep, awk, readlink and find', async () => {
    const active = new RegExp(`^${hostname()}-${process.pid}-\\d{4}-\\d\\d-\\d\\d-\\d\\d:\\d\\d:\\d\\d-0$`);
    expect(await run('readlink .meta/graphs/active')).toMatch(active);
    expect(await run('ls .meta/graphs/ | grep -v active | wc -l')).toBe('1');
    const at = '.meta/graphs/active/v-replicate-0';
    expect(await run(`grep -E "^child_up\\[1\\]" ${at}/private | awk '{print $3}'`)).toBe('1');
    expect(await run(`grep -E "^up = " ${at}/private | cut -f2 -d'='`)).toBe(' 1');
    expect(await run(`grep -w read-hash-mode ${at}/private | awk '{print $3}'`)).toBe('2');
    expect(await run(`grep quorum-type ${at}/private | awk '{print $3}'`)).toBe('none');
    expect(await run(`cat ${at}/subvolumes/1/name ${at}/options/read-hash-mode`)).toBe('v-memory-1\n2');
    expect(await run('cat .meta/graphs/active/top/type')).toBe('debug/io-stats');
    expect(await run('python3 -m json.tool < .meta/version | grep -c Package')).toBe('1');
    for (const name of ['frames', 'cmdline']) await run(`python3 -m json.tool < .meta/${name}`);
    await run(`find .meta -type f -exec cat {} + > ${folder}/all; test -s ${folder}/all`);
    await run(`cp .meta/graphs/active/volfile ${folder}/copy; grep -q cluster/replicate ${folder}/copy`);
  });

  it('has the mount itself as its root', async () => {
    expect(await run('cat .meta/root/options/mountpoint')).toBe(mountPoint);
    expect(await run('grep attribute_timeout .meta/root/private')).toBe('attribute_timeout = 3.000000');
    expect(await run('cat .meta/root/type')).toBe('mount/fuse');
  });

  it('says at once what is so now, whatever the kernel has seen', async () => {
    const reading = 'cat .meta/graphs/active/v/profile | grep -c =';
    await run(`${reading}; mkdir d; echo x > d/f; mv d/f d/g; rm -r d`);
    expect(await run('grep -cE "^(MKDIR|CREATE|RENAME|UNLINK|RMDIR) = 1," .meta/graphs/active/v/profile')).toBe('5');
  });

  it('takes a log level', async () => {
    expect(await run('cat .meta/logging/loglevel')).toBe('7');
    await run('echo 8 > .meta/logging/loglevel');
    expect(host.log.level).toBe('DEBUG');
    await run('echo WARNING >> .meta/logging/loglevel');
    expect(await run('cat .meta/logging/loglevel')).toBe('5');
    await expect(run('echo loud > .meta/logging/loglevel')).rejects.toThrow('Invalid argument');
    await run('echo INFO > .meta/logging/loglevel');
  });

  it('refuses the rest', async () => {
    await expect(run('echo 1 > .meta/version')).rejects.toThrow('Permission denied');
    await expect(run('mkdir .meta/d')).rejects.toThrow('not permitted');
    await expect(run('mkdir .meta')).rejects.toThrow('File exists');
    await expect(run('rm -f .meta/version')).rejects.toThrow('not permitted');
    await expect(run('mv .meta/version v')).rejects.toThrow('not permitted');
    await expect(run('setpriv --reuid 1000 --clear-groups cat .meta/graphs/active/volfile')).rejects.toThrow('denied');
    expect(await run('ls -A')).toBe('');
  });

  it('follows live options and graph switches, with open files', async () => {
    writeFileSync(source, volfile(3, 'v'));
    host.reopen();
    const option = 'cat .meta/graphs/active/v-replicate-0/options/read-hash-mode';
    await vi.waitFor(async () => expect(await run(option)).toBe('3'), { timeout: 20_000 });
    expect(await run('ls .meta/graphs/ | grep -v active | wc -l')).toBe('1');
    const reader = run('exec 3< .meta/process_uuid; sleep 1.5; cat <&3; ls .meta/root');
    writeFileSync(source, volfile(3, 'w'));
    host.reopen();
    await vi.waitFor(async () => expect(await run('readlink .meta/graphs/active/top')).toBe('w'), { timeout: 20_000 });
    expect(await run('ls .meta/graphs/ | grep -v active | wc -l')).toBe('2');
    expect(await run('find .meta/graphs/* -maxdepth 0 -type d | wc -l')).toBe('2');
    expect(await run('cat .meta/graphs/*-0/v-replicate-0/options/read-hash-mode')).toBe('3');
    expect(await reader).toMatch(/^[0-9a-f-]{36}\nhistory\n/);
  });
});
