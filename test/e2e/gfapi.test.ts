/** The library on real bricks: no mount, no FUSE. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ConnectOptions, connect, type Volume } from '@mortar/gfapi';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { eventually, startCluster } from '../support/cluster.ts';
import { root as projectRoot } from '../support/sandbox.ts';

/** Where this process, a client, puts its state dumps; set before the library is read. */
const ownPlace = vi.hoisted(() => {
  const { mkdtempSync } = process.getBuiltinModule('node:fs');
  const place = mkdtempSync('/tmp/mortar-gfapi-');
  process.env.MORTAR_RUN_DIRECTORY = place;
  return place;
});

const cluster = startCluster();
afterAll(() => rmSync(ownPlace, { recursive: true, force: true }));
const volume = 'v';
const from = (more: ConnectOptions = {}): ConnectOptions => ({
  volume,
  servers: [{ host: cluster.address }],
  uid: 0,
  gid: 0,
  ...more,
});

/** Work that goes on until it is told to stop: appends to open files, and whole files that are read back. */
async function load(v: Volume, name: string) {
  const place = `/${name}`;
  await v.mkdir(place, { recursive: true });
  const log = await v.open(`${place}/log`, 'a+');
  let isEnded = false;
  const failures: string[] = [];
  const files = new Map<string, string>();
  const work = async () => {
    for (let i = 0; !isEnded; i++) {
      try {
        await log.write(`${i}\n`);
        const text = `${name} ${i} `.repeat(1 + (i % 500));
        await v.writeFile(`${place}/f${i % 20}`, text);
        files.set(`${place}/f${i % 20}`, text);
        if ((await v.readFile(`${place}/f${i % 20}`, 'utf8')) !== text) failures.push(`f${i} is another`);
      } catch (error) {
        failures.push(`${i}: ${(error as Error).message}`);
        return;
      }
      count = i + 1;
    }
  };
  let count = 0;
  const running = work();
  return {
    count: () => count,
    failures,
    async end() {
      isEnded = true;
      await running;
      expect(failures).toEqual([]);
      const lines = ((await log.readFile('utf8')) as string).length;
      const expected = Array.from({ length: count }, (_, i) => `${i}\n`).join('');
      await log.close();
      expect(await v.readFile(`${place}/log`, 'utf8')).toBe(expected);
      expect(lines).toBeGreaterThanOrEqual(0);
      for (const [path, text] of files) expect(await v.readFile(path, 'utf8')).toBe(text);
    },
  };
}

async function more(job: { count(): number; failures: string[] }, by: number, what: string): Promise<void> {
  const start = job.count();
  await eventually(what, () => job.count() >= start + by || job.failures.length > 0);
  expect(job.failures).toEqual([]);
}

describe('on replica 3', { timeout: 180_000 }, () => {
  beforeAll(async () => {
    await cluster.createAndStart(volume, ['replica', '3'], 3);
  }, 120_000);

  it('works in a directory of the volume, in a name', async () => {
    await using v = await connect(from());
    await v.mkdir('/home/alice', { recursive: true });
    await v.chown('/home/alice', 1001, 1001);
    await v.symlink('/home', '/home/alice/out');
    await using alice = await connect(from({ subdirectory: '/home/alice', uid: 1001, gid: 1001 }));
    await alice.writeFile('/f', 'text');
    const { uid, mode, size } = await v.stat('/home/alice/f');
    expect([uid, mode, size]).toEqual([1001, 0o100644, 4]);
    await expect(alice.readdir('/out')).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await alice.readdir('/..')).sort()).toEqual(['f', 'out']);
    await v.chmod('/home/alice/f', 0o600);
    await expect(v.as({ uid: 1002, gid: 1002 }).readFile('/home/alice/f')).rejects.toMatchObject({ code: 'EACCES' });
  });

  it('gives nobody from its caches what bricks would refuse him', async () => {
    await using v = await connect(from());
    await v.mkdir('/secret', { mode: 0o700 });
    await v.writeFile('/secret/f', 'text', { mode: 0o644 });
    await v.writeFile('/own', 'text', { mode: 0o600 });
    const user = v.as({ uid: 1000, gid: 1000 });
    for (const path of ['/secret/f', '/own']) {
      expect(await v.readFile(path, 'utf8')).toBe('text');
      await expect(user.readFile(path)).rejects.toMatchObject({ code: 'EACCES' });
    }
    await expect(user.stat('/secret/f')).rejects.toMatchObject({ code: 'EACCES' });
    await expect(user.readdir('/secret')).rejects.toMatchObject({ code: 'EACCES' });
    await v.chmod('/secret', 0o711);
    expect(await user.readFile('/secret/f', 'utf8')).toBe('text');
  });

  it('dumps its state when glusterd is asked for it', async () => {
    await using v = await connect(from());
    await v.writeFile('/dumped', 'text');
    await cluster.must('volume', 'statedump', volume, 'client', `${cluster.address}:${process.pid}`);
    const [name] = readdirSync(ownPlace);
    expect(name).toMatch(new RegExp(`^glusterdump\\.${process.pid}\\.dump\\.\\d+$`));
    expect(readFileSync(join(ownPlace, name!), 'utf8')).toContain(`${volume}-client-0`);
    const { exitCode, stderr } = await cluster.gluster('volume', 'statedump', volume, 'client', `${cluster.address}:1`);
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(/^volume statedump: failed: no client .*:1 of volume/),
    ]);
  });

  it('loses nothing when a brick is killed under load, and it heals', async () => {
    await using v = await connect(from());
    const job = await load(v, 'killed');
    await more(job, 20, 'work before');
    const [brick] = cluster.brickPids(volume);
    await cluster.kill(brick!);
    await more(job, 30, 'work without a brick');
    await cluster.must('volume', 'start', volume, 'force');
    await more(job, 20, 'work with all bricks');
    await job.end();
    await cluster.healed(volume);
  });

  it('takes open files and locks along when options make another graph', async () => {
    const lines: string[] = [];
    await using v = await connect(from({ log: (line) => lines.push(line) }));
    await using other = await connect(from());
    const job = await load(v, 'switched');
    await v.writeFile('/locked', 'x');
    const held = await v.open('/locked', 'r+');
    await held.lock({ type: 'write', length: 10 });
    const rival = await other.open('/locked', 'r+');
    const dir = await v.opendir('/switched');
    await dir.read();
    for (const [i, state] of ['on', 'off', 'on'].entries()) {
      await cluster.must('volume', 'set', volume, 'performance.io-cache', state);
      await eventually(`graph ${i + 1}`, () => lines.some((line) => line.includes(`switched to graph ${i + 1}`)));
      await more(job, 10, `work in graph ${i + 1}`);
    }
    await expect(rival.lock({ type: 'write' })).rejects.toMatchObject({ code: 'EAGAIN' });
    await held.write('held', 0);
    while (await dir.read());
    await held.close();
    await rival.lock({ type: 'write' });
    await rival.close();
    await dir.close();
    await job.end();
    expect(v.graph.openFiles).toBe(0);
  });

  it('says ENOTCONN while all bricks are away, and goes on when they are back', async () => {
    await using v = await connect(from());
    const file = await v.open('/away', 'w+');
    await file.write('before');
    await file.sync();
    await cluster.killBricks(volume);
    await eventually('an error', async () =>
      v.stat('/away').then(
        () => false,
        (error) => error.code === 'ENOTCONN',
      ),
    );
    await expect(connect(from({ connectTimeoutMs: 300 }))).rejects.toMatchObject({ code: 'ENOTCONN' });
    await cluster.must('volume', 'start', volume, 'force');
    await eventually('an answer', async () => (await v.stat('/away').catch(() => null)) !== null);
    const written = async () => {
      await file.write(' after', 6);
      await file.sync();
      return true;
    };
    await eventually('a write', () => written().catch(() => false));
    expect(await v.readFile('/away', 'utf8')).toBe('before after');
    await file.close();
  });

  it('says what is wrong with a volume that is not', async () => {
    await expect(connect(from({ volume: 'none' }))).rejects.toMatchObject({ code: 'EVOLFILESOURCE' });
  });

  it('leaves a process that ends by itself: the example', async () => {
    const source = cluster.at('tree');
    mkdirSync(join(source, 'a/b'), { recursive: true });
    writeFileSync(join(source, 'a/b/f'), Buffer.alloc(300_000, 'text'));
    writeFileSync(join(source, 'a/g'), '');
    const example = join(projectRoot, 'dist/examples/copy-tree.mjs');
    const { build } = await import('esbuild');
    await build({
      entryPoints: [join(projectRoot, 'examples/copy-tree.ts')],
      outfile: example,
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['koffi', 'level', 'classic-level', 'msgpackr'],
      banner: {
        js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);",
      },
      logLevel: 'error',
    });
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [example, cluster.address, volume, source, '/copy'],
      {
        timeout: 60_000,
      },
    );
    expect(stdout).toMatch(/300000 .* \/copy\/a\/b\/f\n/);
    await using v = await connect(from());
    const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    expect(hash((await v.readFile('/copy/a/b/f')) as Buffer)).toBe(hash(readFileSync(join(source, 'a/b/f'))));
  });
});
