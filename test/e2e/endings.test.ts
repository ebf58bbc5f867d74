/** Ends, wanted or not, in any order: what is left on the machine, and whether life goes on. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually, hasProgram, pause, startCluster } from '../support/cluster.ts';
import { canMount, isAlive, isMounted } from '../support/sandbox.ts';

/** mulberry32: the same order for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(values: readonly T[], seed: number): T[] {
  const random = randomFrom(seed);
  return values
    .map((value) => ({ value, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

const errorCode = (error: NodeJS.ErrnoException) => error.code ?? String(error);

describe.skipIf(!canMount)('endings', () => {
  const cluster = startCluster();
  const sockets = () =>
    readdirSync(cluster.at('run'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isSocket() || entry.name.endsWith('.pid'))
      .map((entry) => entry.name);

  const seeds = [1, 2, Number(process.env.MORTAR_E2E_SEED ?? Date.now() % 100_000)];
  it.each(seeds)('SIGTERM and umount of everything in random order leaves nothing (seed %i)', async (seed) => {
    if (!isAlive(cluster.glusterdPid())) await cluster.startGlusterd();
    const volume = `end${seed}`;
    await cluster.createAndStart(volume, ['replica', '3'], 3);
    const [first, second] = [await cluster.mount(volume), await cluster.mount(volume)];
    writeFileSync(join(first.path, 'f'), 'text');
    expect(readFileSync(join(second.path, 'f'), 'utf8')).toBe('text');
    const shd = Number(readFileSync(cluster.at(`run/shd/${volume}/${volume}-shd.pid`), 'utf8'));
    expect(isHealDaemon(shd)).toBe(true);
    const steps: (() => Promise<unknown>)[] = [
      () => cluster.sh(`umount ${first.path}`),
      ...[second.pid, shd, cluster.glusterdPid(), ...cluster.brickPids(volume)].map(
        (pid) => () => cluster.kill(pid, 'SIGTERM'),
      ),
    ];
    const together = seed % 2 === 1;
    const order = shuffled(steps, seed);
    if (together) await Promise.all(order.map((step) => step()));
    else for (const step of order) await step();
    await eventually('nothing left', () => cluster.traces().length === 0, 15_000).catch(() => undefined);
    expect(cluster.traces(), `signalled, with the heal daemon ${shd}`).toEqual([]);
    expect(sockets()).toEqual([]);
    // And all of it comes again.
    await cluster.startGlusterd();
    const again = await cluster.mount(volume);
    await eventually(
      'the file',
      async () => (await fs.readFile(join(again.path, 'f'), 'utf8').catch(errorCode)) === 'text',
    );
    await cluster.destroy(volume, again);
  });

  function isHealDaemon(pid: number): boolean {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('glustershd');
  }

  it.runIf(hasProgram('python3'))(
    'a mount killed with SIGKILL is replaced, and its locks are freed',
    async () => {
      await cluster.createAndStart('killed', ['replica', '3'], 3);
      const [first, second] = [await cluster.mount('killed'), await cluster.mount('killed')];
      writeFileSync(join(first.path, 'f'), 'text');
      const script =
        "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()";
      const holder = spawn('python3', ['-c', script, join(first.path, 'f')], { stdio: ['pipe', 'pipe', 'ignore'] });
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      const attempt = () =>
        cluster.run('python3', ['-c', script.replace('LOCK_EX', 'LOCK_EX|fcntl.LOCK_NB'), join(second.path, 'f')]);
      expect((await attempt()).exitCode).not.toBe(0);
      await cluster.kill(first.pid);
      expect(() => statSync(join(first.path, 'f'))).toThrow(/ENOTCONN|ECONNABORTED/);
      await eventually('the lock', async () => (await attempt()).exitCode === 0, 45_000);
      holder.kill('SIGKILL');
      const replaced = await cluster.mountAt(first.path, 'killed');
      expect(readFileSync(join(replaced.path, 'f'), 'utf8')).toBe('text');
      await cluster.destroy('killed', replaced, second);
    },
    120_000,
  );

  it('without any brick there is ENOTCONN, and life when one comes back', async () => {
    const [brick] = await cluster.createAndStart('lost', [], 1);
    const mount = await cluster.mount('lost');
    const file = join(mount.path, 'f');
    writeFileSync(file, 'text');
    const open = await fs.open(file, 'r+');
    const attempt = () => fs.readFile(file, 'utf8').catch(errorCode);
    await cluster.killBrick('lost', brick!);
    await eventually('ENOTCONN', async () => (await attempt()) === 'ENOTCONN');
    expect(await fs.writeFile(join(mount.path, 'g'), 'x').catch(errorCode)).toBe('ENOTCONN');
    await cluster.must('volume', 'start', 'lost', 'force');
    await eventually('life', async () => (await attempt()) === 'text');
    await open.write('TEXT', 0);
    await open.sync();
    expect(await attempt()).toBe('TEXT');
    await open.close();
    await cluster.destroy('lost', mount);
  });

  it('of three replicas the last one answers nothing, the second one everything', async () => {
    const bricks = await cluster.createAndStart('quorum', ['replica', '3'], 3);
    const mount = await cluster.mount('quorum');
    const file = join(mount.path, 'f');
    writeFileSync(file, 'text');
    await cluster.killBrick('quorum', bricks[0]!);
    await cluster.killBrick('quorum', bricks[2]!);
    const write = (text: string) => fs.writeFile(file, text).then(() => 'ok', errorCode);
    await eventually('a refusal', async () => /ENOTCONN|EROFS|EIO/.test(await write('lost')));
    await cluster.must('volume', 'start', 'quorum', 'force');
    await eventually('writes', async () => (await write('written')) === 'ok');
    await cluster.healed('quorum');
    for (const { path } of bricks) expect(readFileSync(join(path, 'f'), 'utf8')).toBe('written');
    await cluster.destroy('quorum', mount);
  });

  it('glusterd comes and goes without anyone noticing, and knows its bricks again', async () => {
    await cluster.createAndStart('adopt', ['replica', '3'], 3);
    const mount = await cluster.mount('adopt');
    const pids = cluster.brickPids('adopt');
    let rounds = 0;
    let running = true;
    const load = (async () => {
      for (; running; rounds++) {
        const file = join(mount.path, `f${rounds % 10}`);
        await fs.writeFile(file, `${rounds}`);
        expect(await fs.readFile(file, 'utf8')).toBe(`${rounds}`);
      }
    })();
    try {
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        await cluster.kill(cluster.glusterdPid(), signal);
        const { exitCode, stderr, stdout } = await cluster.gluster('volume', 'info');
        expect([exitCode, stderr + stdout]).toEqual([
          1,
          'Connection failed. Please check if gluster daemon is operational.\n',
        ]);
        const before = rounds;
        await Promise.race([load, eventually('operations without glusterd', () => rounds > before + 20)]);
        await cluster.startGlusterd();
      }
      expect(cluster.brickPids('adopt')).toEqual(pids);
      const status = await cluster.must('volume', 'status', 'adopt');
      for (const pid of pids) expect(status).toMatch(new RegExp(` Y +${pid} *$`, 'm'));
      // The mount hears of changes again.
      await cluster.must('volume', 'set', 'adopt', 'features.read-only', 'on');
    } finally {
      running = false;
      await load.catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EROFS') throw error;
      });
    }
    await eventually('EROFS', async () => (await fs.writeFile(join(mount.path, 'x'), '').catch(errorCode)) === 'EROFS');
    await cluster.destroy('adopt', mount);
  });

  it('volume stop under a mount: ENOTCONN; start: life again', async () => {
    await cluster.createAndStart('stopped', ['replica', '3'], 3);
    const mount = await cluster.mount('stopped');
    const file = join(mount.path, 'f');
    writeFileSync(file, 'text');
    await cluster.must('volume', 'stop', 'stopped');
    const attempt = () => fs.readFile(file, 'utf8').catch(errorCode);
    await eventually('ENOTCONN', async () => (await attempt()) === 'ENOTCONN');
    await pause(200);
    await cluster.must('volume', 'start', 'stopped');
    await eventually('life', async () => (await attempt()) === 'text');
    expect(isMounted(mount.path) && existsSync(file)).toBe(true);
    await cluster.destroy('stopped', mount);
  });
});
