/** `gluster volume set` reaches what runs, without a remount and without disturbing who writes. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Brick, digest, eventually, type MountedVolume, pause, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

describe.skipIf(!canMount)('volume set', () => {
  const cluster = startCluster();
  let bricks: readonly Brick[];
  let mount: MountedVolume;
  beforeAll(async () => {
    bricks = await cluster.createAndStart('vol', ['replica', '3'], 3);
    mount = await cluster.mount('vol');
  });
  const at = (name: string) => join(mount.path, name);
  const set = (...words: string[]) => cluster.must('volume', 'set', 'vol', ...words);
  const write = (name: string) =>
    fs.writeFile(at(name), name).then(
      () => 'ok',
      (error: NodeJS.ErrnoException) => error.code ?? String(error),
    );

  it('makes a mounted volume read-only and writable again', async () => {
    for (const key of ['features.read-only']) {
      await fs.writeFile(at('f'), 'before');
      await set(key, 'on');
      await eventually(`${key} on`, async () => (await write('f')) === 'EROFS');
      expect(await fs.readFile(at('f'), 'utf8')).toMatch(/before|^f$|^$/);
      await set(key, 'off');
      await eventually(`${key} off`, async () => (await write('f')) === 'ok');
    }
  });

  it('changes the log levels of mounts and bricks', async () => {
    const brickLog = cluster.at(`log/bricks/${bricks[0]!.path.slice(1).replaceAll('/', '-')}.log`);
    const lines = () => [mount.log, brickLog].map((path) => readFileSync(path, 'utf8').split('\n').length);
    /** Whatever changes an option is a line of level INFO. */
    const noise = async (value: string) => {
      await set('network.frame-timeout', value);
      await set('server.outstanding-rpc-limit', value);
      await eventually('the volfile of the mount', async () =>
        (await fs.readFile(cluster.at('lib/vols/vol/trusted-vol.tcp-fuse.vol'), 'utf8')).includes(value),
      );
      await pause(1000);
    };
    await noise('101');
    await set('diagnostics.client-log-level', 'ERROR');
    await set('diagnostics.brick-log-level', 'ERROR');
    await pause(1000);
    const before = lines();
    await noise('102');
    expect(lines()).toEqual(before);
    await cluster.must('volume', 'reset', 'vol', 'diagnostics.client-log-level');
    await cluster.must('volume', 'reset', 'vol', 'diagnostics.brick-log-level');
    await noise('103');
    await eventually('lines again', () => lines().every((count, index) => count > before[index]!));
  });

  it('gives bricks that run other translators, without a new connection, and the options that come with and after them', async () => {
    const open = await fs.open(at('kept'), 'w+');
    const log = (path: string) =>
      readFileSync(cluster.at(`log/bricks/${path.slice(1).replaceAll('/', '-')}.log`), 'utf8');
    const connections = () => bricks.map(({ path }) => log(path).match(/ connected$/gm)?.length);
    const before = connections();
    const dump = async () => {
      await cluster.sh(`rm -f ${cluster.at('run')}/*.dump.*`);
      await cluster.must('volume', 'statedump', 'vol');
      return cluster.sh(`cat ${cluster.at('run')}/*.dump.*`);
    };
    const count = async () => (await dump()).match(/^\[features\/access-control\./gm)?.length ?? 0;
    await set('features.acl', 'on');
    await eventually('access-control in each brick', async () => (await count()) === 3);
    await open.write('before');
    await set('storage.owner-uid', '1234', 'storage.owner-gid', '5');
    for (const { path } of bricks)
      await eventually('the owner', async () => {
        const { uid, gid } = await fs.stat(path);
        return uid === 1234 && gid === 5;
      });
    await set('features.acl', 'off');
    await eventually('no access-control any more', async () => (await count()) === 0);
    await open.write(' after');
    await open.close();
    expect(await fs.readFile(at('kept'), 'utf8')).toBe('before after');
    expect(connections()).toEqual(before);
    for (const { path } of bricks) expect(log(path)).not.toMatch(/ [EC] \[/);
    await set('storage.owner-uid', '0', 'storage.owner-gid', '0');
    const limits = async () =>
      (await cluster.must('volume', 'status', 'vol', 'inode')).match(/^LRU limit +: \d+/gm)?.join();
    const thrice = (limit: number) => Array(3).fill(`LRU limit     : ${limit}`).join();
    await set('network.inode-lru-limit', '77');
    await eventually('the limit of inodes', async () => (await limits()) === thrice(77));
    await cluster.must('volume', 'reset', 'vol', 'network.inode-lru-limit');
    await eventually('the limit that bricks have by themselves', async () => (await limits()) === thrice(16384));
    await cluster.must('volume', 'reset', 'vol');
  }, 120_000);

  it('shows what was set in info, get and the volfiles', async () => {
    await set('network.ping-timeout', '7');
    expect(await cluster.must('volume', 'info', 'vol')).toContain('network.ping-timeout: 7\n');
    expect(await cluster.must('volume', 'get', 'vol', 'network.ping-timeout')).toMatch(/network.ping-timeout +7 *$/m);
    await cluster.must('volume', 'reset', 'vol', 'network.ping-timeout');
    expect(await cluster.must('volume', 'get', 'vol', 'network.ping-timeout')).toMatch(/network.ping-timeout +42/);
    expect(await cluster.must('volume', 'info', 'vol')).not.toContain('ping-timeout');
  });

  it('switches the graph under a writer, a reader, a lister and an unlinked open file', async () => {
    const switches = [
      ['performance.io-cache', 'on'],
      ['performance.stat-prefetch', 'off'],
      ['performance.io-cache', 'off'],
      ['performance.stat-prefetch', 'on'],
    ] as const;
    const file = await fs.open(at('writer'), 'w+');
    const unlinked = await fs.open(at('unlinked'), 'w+');
    await unlinked.write('still here');
    await fs.unlink(at('unlinked'));
    const written: Buffer[] = [];
    let running = true;
    const forever = async (step: () => Promise<unknown>) => {
      while (running) await step();
    };
    const load = Promise.all([
      forever(async () => {
        written.push(randomBytes(10_000));
        await file.write(written.at(-1)!);
      }),
      forever(() => fs.readFile(at('f'))),
      forever(() => fs.readdir(mount.path, { withFileTypes: true })),
      forever(async () => {
        await fs.writeFile(at('short'), 'x');
        await fs.rename(at('short'), at('long'));
        await fs.unlink(at('long'));
      }),
    ]);
    let graphs = 0;
    const switched = () => readFileSync(mount.log, 'utf8').match(/switched to graph/g)?.length ?? 0;
    try {
      for (const [key, value] of switches) {
        graphs = switched();
        await set(key, value);
        await Promise.race([load, eventually(`a graph with ${key} ${value}`, () => switched() > graphs)]);
      }
    } finally {
      running = false;
      await load;
    }
    expect(digest(await fs.readFile(at('writer')))).toBe(digest(Buffer.concat(written)));
    const buffer = Buffer.alloc(10);
    await unlinked.read(buffer, 0, 10, 0);
    expect(buffer.toString()).toBe('still here');
    await unlinked.close();
    await file.close();
    for (const { path } of bricks)
      await eventually(
        'all data at the brick',
        async () => digest(await fs.readFile(join(path, 'writer'))) === digest(Buffer.concat(written)),
      );
    expect(readFileSync(mount.log, 'utf8')).not.toMatch(/ [EC] \[/);
  }, 120_000);

  it('has its credentials in no log', async () => {
    const info = readFileSync(cluster.at('lib/vols/vol/info'), 'utf8');
    const password = /^password=(\S+)$/m.exec(info)![1]!;
    expect(await cluster.sh(`grep -rl ${password} ${cluster.at('log')} ${cluster.at('run')} || true`)).toBe('');
    expect(await cluster.sh(`grep -l ${password} ${cluster.at('lib/vols/vol/info')}`)).toContain('info');
  });
});
