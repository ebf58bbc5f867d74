/** Devices on a replica 3 volume, with real bricks and servers, used over NBD. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dial } from '@mortar/block/rsio/client/dial.ts';
import { RemoteDevice } from '@mortar/block/rsio/client/remote-device.ts';
import { ClientSession } from '@mortar/block/rsio/client/session.ts';
import type { Log } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Brick, eventually, hasProgram, startCluster } from '../support/cluster.ts';
import { isAlive } from '../support/sandbox.ts';

const needed = ['qemu-io', 'qemu-img'].every(hasProgram);
const hasFio =
  hasProgram('fio') && spawnSync('fio', ['--enghelp'], { encoding: 'utf8' }).stdout?.includes('nbd') === true;
if (!needed) console.log('devices on a volume: qemu-io and qemu-img are not installed: skipped');

const cluster = startCluster();
const volume = 'blk';
const size = 16 * 2 ** 20;
let bricks: readonly Brick[] = [];
const servers: number[] = [];
const clock = new SystemClock();
const random = new SystemRandom();
const quiet: Log = { level: 'NONE', setLevel: () => {}, write: () => {} };

const socket = (name: string) => cluster.at(`run/${name}.sock`);
const uri = (name: string) => `nbd+unix:///db?socket=${socket(name)}`;
const logOf = (name: string) => readFileSync(cluster.at(`log/${name}.log`), 'utf8');

/** A server of the device; `more`: lines of its section. */
async function startServer(name: string, more = '', front = ''): Promise<number> {
  const file = cluster.at(`${name}.cfg`);
  writeFileSync(
    file,
    `[namespace osl]\n[server ${name}]\n${front}\n[nbd]\nport=0\nsocket=${socket(name)}\n[device db]\ntype=volume\nvolume=${volume}\n` +
      `servers=${cluster.address}\ncreate=yes\nsize=${size}\nshard=1m\nlease=6\n${more}\n`,
  );
  const pidFile = cluster.at(`run/${name}.pid`);
  const { exitCode, stderr } = await cluster.command(
    'rssrv',
    '-c',
    file,
    '-p',
    pidFile,
    '-l',
    cluster.at(`log/${name}.log`),
  );
  if (exitCode !== 0)
    throw new Error(`${name}: ${stderr}${existsSync(cluster.at(`log/${name}.log`)) ? logOf(name) : ''}`);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  servers.push(pid);
  return pid;
}

const io = (name: string, ...commands: string[]) =>
  cluster.run('qemu-io', ['-f', 'raw', '-d', 'unmap', uri(name), ...commands.flatMap((one) => ['-c', one])]);

async function good(name: string, ...commands: string[]): Promise<string> {
  const { stdout, stderr } = await io(name, ...commands);
  if (/failed|error|Pattern verification/i.test(stdout + stderr)) throw new Error(stdout + stderr + logOf(name));
  return stdout;
}

/** Over both interfaces of a server. */
function sessionWith(name: string): ClientSession {
  const found = [...logOf(name).matchAll(/RSIO clients are served on (\w+): ([\d.]+):(\d+)/g)];
  const paths = found.map(([, face, host, port]) => ({
    name: face!,
    dial: () => dial({ host: host!, port: Number(port) }),
  }));
  return new ClientSession({ clock, random, log: quiet, namespace: 'osl', client: 'big-2', key: '0xbig2', paths });
}

/** What a brick has of the device's shards. */
function shardsOf(brick: Brick): string {
  const hash = createHash('sha256');
  for (let i = 0; i < 16; i++) {
    const path = join(brick.path, '.block/db', String(i));
    hash.update(existsSync(path) ? readFileSync(path) : `no ${i}`);
  }
  return hash.digest('hex');
}

describe.skipIf(!needed)('a device on replica 3', { timeout: 240_000 }, () => {
  beforeAll(async () => {
    bricks = await cluster.create(volume, ['replica', '3'], 3);
    await cluster.must('volume', 'set', volume, 'features.block', 'on');
    await cluster.must('volume', 'start', volume);
  }, 120_000);
  afterAll(async () => {
    for (const pid of servers.filter(isAlive)) {
      process.kill(pid, 'SIGCONT');
      await cluster.kill(pid);
    }
  });

  it('is a disk: patterns, holes, growth over a restart of its server', async () => {
    const pid = await startServer('one');
    await good('one', 'write -P 7 0 3m', 'write -f -P 9 5m 4k', 'write -z -u 1m 64k', 'discard 2m 1m', 'flush');
    await good('one', 'read -P 7 0 1m', 'read -P 0 1m 64k', 'read -P 9 5m 4k', 'read -P 0 2m 1m', 'read -P 0 8m 8m');
    const { stdout } = await cluster.run('qemu-img', ['map', '--output=json', '-f', 'raw', uri('one')]);
    const map = JSON.parse(stdout) as { start: number; data: boolean }[];
    expect(map.some(({ start, data }) => start === 0 && data)).toBe(true);
    expect(map.some(({ data }) => !data)).toBe(true);
    await cluster.kill(pid, 'SIGTERM');
    await startServer('one');
    await good('one', 'read -P 7 0 1m', 'read -P 9 5m 4k', 'write -P 8 15m 1m', 'flush', 'read -P 8 15m 1m');
    for (const brick of bricks) expect(existsSync(join(brick.path, '.block/db/0'))).toBe(true);
  });

  it.skipIf(!hasFio)('goes on while a brick is killed, and heals', async () => {
    const job = ['--name=x', '--ioengine=nbd', `--uri=${uri('one')}`, '--rw=randwrite', '--bs=4k', '--iodepth=16'];
    const verify = ['--size=12m', '--verify=crc32c', '--do_verify=1', '--verify_fatal=1', '--loops=4'];
    let isOver = false;
    const running = cluster.run('fio', [...job, ...verify]).then((outcome) => {
      isOver = true;
      return outcome;
    });
    await eventually('shards are written', () => existsSync(join(bricks[1]!.path, '.block/db/11')) || isOver);
    await cluster.kill(cluster.brickPid(volume, bricks[1]!));
    const { exitCode, stdout, stderr } = await running;
    expect(exitCode, stdout + stderr).toBe(0);
    await good('one', 'write -P 3 0 12m', 'flush');
    await cluster.must('volume', 'start', volume, 'force');
    await cluster.healed(volume);
    await eventually('bricks are alike', () => new Set(bricks.map(shardsOf)).size === 1);
  });

  it('goes with its client to another server when the first one is stopped: no error, nothing late', async () => {
    const interfaces =
      '[interface if0]\naddress=127.0.0.1\nport=0\n[interface if1]\naddress=127.0.0.2\nport=0\n[clients]\nbig-2 0xbig2';
    for (const pid of servers.splice(0).filter(isAlive)) await cluster.kill(pid, 'SIGTERM');
    const first = await startServer('three', '', interfaces);
    await startServer('four', '', interfaces);
    const sessions = ['three', 'four'].map(sessionWith);
    for (const session of sessions) session.start();
    await eventually('paths are up', () => sessions.every((one) => one.paths.every((path) => path.isUp)));
    const opened = await RemoteDevice.open({ name: 'db', sessions, mode: 'exclusive', clock, log: quiet }, 10_000);
    if (!opened.ok) throw new Error(`errno ${opened.errno}: ${logOf('three')}`);
    const { device } = opened;
    try {
      let isOver = false;
      let slowestMs = 0;
      const counts = Array.from({ length: 32 }, () => 0);
      const blockOf = (block: number, i: number) => Buffer.alloc(4096, `${block}:${i};`);
      const writer = async (block: number) => {
        for (let i = 1; !isOver; i++) {
          const startMs = clock.nowMs();
          const reply = await device.write(block * 65536, blockOf(block, i), false);
          if (!reply.ok) throw new Error(`block ${block}: errno ${reply.errno}`);
          slowestMs = Math.max(slowestMs, clock.nowMs() - startMs);
          counts[block] = i;
        }
      };
      const writers = Promise.all(counts.map((_, block) => writer(block)));
      const passed = () => counts.reduce((sum, one) => sum + one, 0);
      await eventually('it writes', () => passed() > 500);
      process.kill(first, 'SIGSTOP');
      await eventually('it has gone to the other server', () => device.server === 1, 60_000);
      const before = passed();
      await eventually('it writes there', () => passed() > before + 500);
      process.kill(first, 'SIGCONT');
      await eventually(
        'the first one hears of it',
        () => /was taken over by another holder/.test(logOf('three')),
        60_000,
      );
      const later = passed();
      await eventually('it goes on', () => passed() > later + 500);
      isOver = true;
      await writers;
      for (const [block, i] of counts.entries()) {
        const reply = await device.read(block * 65536, 4096);
        expect(reply.ok && Buffer.concat(reply.pieces).equals(blockOf(block, i)), `block ${block}`).toBe(true);
      }
      expect(slowestMs).toBeLessThan(60_000);
      await device.close();
    } finally {
      process.kill(first, 'SIGCONT');
      for (const session of sessions) session.close();
    }
    await cluster.healed(volume);
    expect(new Set(bricks.map(shardsOf)).size).toBe(1);
    for (const pid of servers.splice(0).filter(isAlive)) await cluster.kill(pid, 'SIGTERM');
    await startServer('one');
  });

  it('refuses on the bricks what a server that was stopped still had in hand', async () => {
    const stopped = servers.at(-1)!;
    await good('one', 'write -P 0x11 0 16m', 'flush');
    const bench = spawn('qemu-img', [
      'bench',
      '-w',
      '--pattern=0x11',
      '-c',
      '10000000',
      '-d',
      '64',
      '-s',
      '4096',
      '-t',
      'none',
      '-f',
      'raw',
      uri('one'),
    ]);
    const ended = new Promise<number | null>((resolve) => bench.on('exit', resolve));
    try {
      const requests = () => logOf('one').split('is attached').length;
      const before = requests();
      await eventually('it writes', () => requests() > before);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      process.kill(stopped, 'SIGSTOP');
      await startServer('two', 'force=yes');
      await good('two', 'write -P 0x22 0 16m', 'flush', 'read -P 0x22 0 16m');
      process.kill(stopped, 'SIGCONT');
      await eventually(
        'the first server hears of it',
        () => /was taken over by another holder/.test(logOf('one')),
        60_000,
      );
      expect(await ended).not.toBe(0);
      await good('two', 'read -P 0x22 0 16m');
      await cluster.healed(volume);
      await good('two', 'read -P 0x22 0 16m');
      const whole = createHash('sha256').update(Buffer.alloc(size, 0x22)).digest('hex');
      for (const brick of bricks) expect(shardsOf(brick)).toBe(whole);
      // It may have it again when the second one gives it up, and finds what that one wrote.
      await cluster.kill(servers.at(-1)!, 'SIGTERM');
      await good('one', 'read -P 0x22 0 16m', 'write -P 0x33 0 4k');
    } finally {
      bench.kill('SIGKILL');
    }
  });
});
