/** What a mount may do to the files of a device on a volume, with real bricks, a server and its client. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf } from '@mortar/block/device/conformance.ts';
import { dial } from '@mortar/block/rsio/client/dial.ts';
import { RemoteDevice } from '@mortar/block/rsio/client/remote-device.ts';
import { ClientSession } from '@mortar/block/rsio/client/session.ts';
import type { Log } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Brick, eventually, type MountedVolume, startCluster } from '../support/cluster.ts';
import { canMount, isAlive } from '../support/sandbox.ts';

const cluster = startCluster();
const volume = 'blk';
const clock = new SystemClock();
const quiet: Log = { level: 'NONE', setLevel: () => {}, write: () => {} };

describe.skipIf(!canMount)('the files of a device', { timeout: 120_000 }, () => {
  let bricks: readonly Brick[];
  let mount: MountedVolume;
  let server: number;
  let session: ClientSession;
  let device: RemoteDevice;

  const shard = (name: string) => join(mount.path, '.block/db', name);
  const hand = async (script: string) => {
    const { exitCode, stderr } = await cluster.run('bash', ['-c', script]);
    return exitCode === 0 ? 'done' : stderr;
  };
  const asNobody = (script: string) => hand(`setpriv --reuid=65534 --regid=65534 --clear-groups ${script}`);
  const write = (fill: number) => device.write(0, Buffer.alloc(4096, fill), true);
  const scribble = () => hand(`echo by hand | dd of=${shard('0')} conv=notrunc,fsync status=none`);

  beforeAll(async () => {
    bricks = await cluster.create(volume, ['replica', '3'], 3);
    await cluster.must('volume', 'set', volume, 'features.block', 'on');
    await cluster.must('volume', 'start', volume);
    mount = await cluster.mount(volume);
    const [config, pidFile, log] = ['one.cfg', 'run/one.pid', 'log/one.log'].map((name) => cluster.at(name));
    writeFileSync(
      config!,
      `[namespace osl]\n[server one]\nserverid=1\n[interface if0]\naddress=127.0.0.1\nport=0\n[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n` +
        `[device db]\ntype=volume\nvolume=${volume}\nservers=${cluster.address}\ncreate=yes\nsize=4m\nshard=1m\nlease=6\n`,
    );
    const { exitCode, stderr } = await cluster.command('rssrv', '-c', config!, '-p', pidFile!, '-l', log!);
    expect([exitCode, stderr]).toEqual([0, '']);
    server = Number(readFileSync(pidFile!, 'utf8'));
    const port = Number(/RSIO clients are served on if0: [\d.]+:(\d+)/.exec(readFileSync(log!, 'utf8'))![1]);
    const paths = [{ name: 'if0', dial: () => dial({ host: '127.0.0.1', port }) }];
    const random = new SystemRandom();
    session = new ClientSession({ clock, random, log: quiet, namespace: 'osl', client: 'big-2', key: '0xbig2', paths });
    session.start();
    await eventually('it is connected', () => session.isUp);
    const opened = await RemoteDevice.open(
      { name: 'db', sessions: [session], mode: 'exclusive', clock, log: quiet },
      10_000,
    );
    if (!opened.ok) throw new Error(`errno ${opened.errno}`);
    device = opened.device;
    expect(await write(7)).toEqual({ ok: true });
  }, 120_000);
  afterAll(async () => {
    session?.close();
    if (server && isAlive(server)) await cluster.kill(server, 'SIGTERM');
    if (mount) await cluster.unmount(mount);
  }, 60_000);

  it('are not changed by hand while it is attached, not even by root', async () => {
    const scripts = [`truncate -s 0 ${shard('0')}`, `rm ${shard('0')}`, `touch ${shard('77')}`];
    for (const script of scripts)
      expect([script, await hand(script)]).toEqual([script, expect.stringContaining('busy')]);
    expect(await scribble()).toContain('busy');
    expect(await hand(`mv ${shard('0')} ${mount.path}/away`)).toContain('busy');
    expect(bytesOf(await device.read(0, 4096)).equals(Buffer.alloc(4096, 7))).toBe(true);
    expect(await hand(`cmp -n 4096 ${shard('0')} <(head -c 4096 /dev/zero | tr '\\0' '\\7')`)).toBe('done');
  });

  it('are guarded again by a brick that was started anew, as soon as their holder shows life', async () => {
    for (const brick of bricks) {
      await cluster.kill(cluster.brickPid(volume, brick));
      await cluster.must('volume', 'start', volume, 'force');
      expect(await write(8)).toEqual({ ok: true });
    }
    await cluster.healed(volume);
    expect(await write(9)).toEqual({ ok: true });
    expect(await scribble()).toContain('busy');
    expect(bytesOf(await device.read(0, 4096)).equals(Buffer.alloc(4096, 9))).toBe(true);
  });

  it('stay where they are, whoever may write at the root of the volume', async () => {
    // Others have to come as far as the mount.
    expect(await hand(`chmod 755 ${cluster.home}; chmod 777 ${mount.path}`)).toBe('done');
    expect(await asNobody(`mv ${mount.path}/.block ${mount.path}/x`)).toContain('not permitted');
    expect(await asNobody(`mkdir ${mount.path}/own`)).toBe('done');
    expect(await asNobody(`mv ${mount.path}/own ${mount.path}/.block`)).not.toBe('done');
    expect(await asNobody(`ls ${mount.path}/.block`)).toContain('denied');
  });

  it('are whose who may, when it was given up', async () => {
    await device.close();
    await eventually('the device is given up', async () => (await scribble()) === 'done');
  });
});
