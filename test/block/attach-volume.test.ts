/** An attached volume of replica 3, as a block device: a brick is killed, its server is stopped and another one goes on. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachLack, hasTool, must, nothingBelow, verifyDuring } from '../support/attach-rig.ts';
import { type Brick, eventually, pause, startCluster } from '../support/cluster.ts';
import { isAlive } from '../support/sandbox.ts';

const lack = attachLack ?? (hasTool('fio') ? null : 'fio is not installed');
if (lack !== null) console.log(`attached volumes of replica 3: ${lack}: skipped`);

const cluster = startCluster();
const volume = 'blk';
let bricks: readonly Brick[] = [];
const pids = new Map<string, number>();
const node = () => cluster.at('av0/db');
const logOf = (name: string) => readFileSync(cluster.at(`log/${name}.log`), 'utf8');

async function start(program: string, name: string, config: string, ...more: string[]): Promise<number> {
  const file = cluster.at(`${name}.cfg`);
  writeFileSync(file, config);
  const pidFile = cluster.at(`run/${name}.pid`);
  const log = cluster.at(`log/${name}.log`);
  const { exitCode, stderr } = await cluster.command(program, '-c', file, '-p', pidFile, '-l', log, ...more);
  if (exitCode !== 0) throw new Error(`${name}: ${stderr}${existsSync(log) ? readFileSync(log, 'utf8') : ''}`);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  pids.set(name, pid);
  return pid;
}

const startServer = (name: string, id: number) =>
  start(
    'rssrv',
    name,
    `[namespace osl]\n[server ${name}]\nserverid=${id}\n[interface if0]\naddress=127.0.0.1\nport=0\n[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n` +
      `[device db]\ntype=volume\nvolume=${volume}\nservers=${cluster.address}\ncreate=yes\nsize=32m\nshard=1m\nlease=6\n`,
  );

const portOf = (name: string) => /RSIO clients are served on if0: [\d.]+:(\d+)/.exec(logOf(name))![1]!;
const rsconfig = (...words: string[]) => cluster.command('rsconfig', '-s', cluster.at('run/rsiod.socket'), ...words);

describe.skipIf(lack !== null)('an attached volume of replica 3', { timeout: 240_000 }, () => {
  beforeAll(async () => {
    bricks = await cluster.create(volume, ['replica', '3'], 3);
    await cluster.must('volume', 'set', volume, 'features.block', 'on');
    await cluster.must('volume', 'start', volume);
    await startServer('one', 1);
    await startServer('two', 2);
    const places = ['one', 'two'].map((name) => `[server ${name}]\naddress=127.0.0.1\nport=${portOf(name)}\n`).join('');
    const config = `[defaults]\nattach=loop\n[namespace osl]\nnodename=big-2\nnodekey=0xbig2\n${places}`;
    const words = ['-D', cluster.at('av0'), '-s', cluster.at('run/rsiod.socket'), '-e', cluster.at('run/rsiod.nbd')];
    await start('rsiod', 'rsiod', config, ...words);
    const { stdout, stderr } = await rsconfig('-a');
    expect(stdout + stderr).toBe('osl:db\n');
  }, 120_000);
  afterAll(async () => {
    for (const pid of [...pids.values()].filter(isAlive)) process.kill(pid, 'SIGCONT');
    try {
      if (isAlive(pids.get('rsiod')!)) {
        await rsconfig('-d', '-f');
        await cluster.kill(pids.get('rsiod')!, 'SIGTERM');
      }
      await nothingBelow(cluster.home);
    } finally {
      for (const pid of [...pids.values()].filter(isAlive)) await cluster.kill(pid);
    }
  }, 60_000);

  it('has two servers, and is a disk', async () => {
    expect((await rsconfig('-lvv')).stdout).toContain('65536 blocks,  2 server(s)');
    await must('mkfs.ext4', '-q', '-F', node());
    await must('e2fsck', '-fn', node());
  });

  it('does not notice that a brick is killed, and heals', async () => {
    await verifyDuring(node(), 2, async () => {
      await pause(500);
      await cluster.kill(cluster.brickPid(volume, bricks[1]!));
      await pause(500);
    });
    await cluster.must('volume', 'start', volume, 'force');
    await cluster.healed(volume);
    const shard = (brick: Brick) => readFileSync(join(brick.path, '.block/db/0'));
    for (const brick of bricks) expect(shard(brick).equals(shard(bricks[0]!))).toBe(true);
  });

  it('goes to another server when its own is stopped under I/O, and nothing of that one happens later', async () => {
    const first = pids.get('one')!;
    await verifyDuring(node(), 2, async () => {
      await pause(500);
      process.kill(first, 'SIGSTOP');
      await eventually('it has gone to the other server', () => /goes to server 1/.test(logOf('rsiod')), 60_000);
      await pause(500);
      process.kill(first, 'SIGCONT');
      await eventually(
        'the first one hears of it',
        () => /was taken over by another holder/.test(logOf('one')),
        60_000,
      );
      await pause(500);
    });
    await cluster.healed(volume);
    const shard = (brick: Brick) => readFileSync(join(brick.path, '.block/db/0'));
    for (const brick of bricks) expect(shard(brick).equals(shard(bricks[0]!))).toBe(true);
  });
});
