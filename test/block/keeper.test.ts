/** The keeper as a process: started, found again, killed, hanging. */
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeeperClient } from '@mortar/block/attach/keeper/client.ts';
import type { KeptFile } from '@mortar/block/attach/keeper/protocol.ts';
import type { Log } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ensureBuilt, isAlive, root } from '../support/sandbox.ts';

const clock = new SystemClock();
const file: KeptFile = {
  namespace: 'osl',
  name: 'x',
  kind: 'loop',
  sizeBytes: 4096,
  readOnly: false,
  minimumBytes: 1,
  maxWrite: 1 << 20,
  canResend: true,
};

let home: string;
let socket: string;
let lines: string[];
const clients: KeeperClient[] = [];
const fds: number[] = [];

function client(keepSeconds = 60): KeeperClient {
  const log: Log = { level: 'INFO', setLevel: () => {}, write: (_level, _origin, text) => void lines.push(text) };
  const one = new KeeperClient({ socket, program: join(root, 'dist/rsiod-keeper.mjs'), keepSeconds, clock, log });
  clients.push(one);
  return one;
}

function anyFile(): number {
  const fd = openSync('/dev/null', 'r');
  fds.push(fd);
  return fd;
}

const pidOf = () => Number(/kept by process (\d+)/.exec(lines.findLast((line) => line.includes('kept by')) ?? '')?.[1]);

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 3000 && !condition(); i++) await clock.sleep(10);
  expect(condition()).toBe(true);
}

describe('the keeper', { timeout: 90_000 }, () => {
  beforeAll(() => ensureBuilt(), 90_000);
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'mortar-keeper-'));
    socket = join(home, 'keeper');
    lines = [];
  });
  afterEach(async () => {
    const pid = pidOf();
    for (const one of clients.splice(0)) one.end();
    for (const fd of fds.splice(0)) closeSync(fd);
    if (pid > 0 && isAlive(pid)) process.kill(pid, 'SIGKILL');
    if (pid > 0) await until(() => !isAlive(pid));
    rmSync(home, { recursive: true });
  });

  it('has what the run before gave it, and ends when nothing is left to keep', async () => {
    const first = client();
    expect(await first.start()).toEqual([]);
    const pid = pidOf();
    first.put('a', file, anyFile());
    first.put('b', { ...file, name: 'b' }, anyFile());
    first.put('b', { ...file, name: 'b', sizeBytes: 8192 }, fds[1]!);
    first.end();
    const second = client();
    const kept = (await second.start())!;
    expect(pidOf()).toBe(pid);
    expect(kept.map(({ key, file: one }) => [key, one.name, one.sizeBytes])).toEqual([
      ['a', 'x', 4096],
      ['b', 'b', 8192],
    ]);
    for (const { fd } of kept) expect(fstatSync(fd).rdev).toBe(fstatSync(fds[0]!).rdev);
    fds.push(...kept.map(({ fd }) => fd));
    second.drop('a');
    second.drop('b');
    second.end();
    await until(() => !isAlive(pid));
    expect(existsSync(socket)).toBe(false);
  });

  it('ends when nobody has come back for its time', async () => {
    const first = client(1);
    await first.start();
    first.put('a', file, anyFile());
    const pid = pidOf();
    first.end();
    expect(isAlive(pid)).toBe(true);
    await until(() => !isAlive(pid));
  });

  it('is replaced when it was killed, and the new one has all', async () => {
    const first = client();
    await first.start();
    first.put('a', file, anyFile());
    const pid = pidOf();
    process.kill(pid, 'SIGKILL');
    await until(() => lines.some((line) => line.includes('another one has 1 descriptors')));
    expect(pidOf()).not.toBe(pid);
    first.end();
    const kept = (await client().start())!;
    expect(kept.map(({ key }) => key)).toEqual(['a']);
    fds.push(...kept.map(({ fd }) => fd));
  });

  it('is done without while it hangs', async () => {
    const first = client();
    await first.start();
    const pid = pidOf();
    process.kill(pid, 'SIGSTOP');
    first.put('a', file, anyFile());
    expect([first.isReached, lines.at(-1)]).toEqual([false, 'the keeper does not answer']);
    process.kill(pid, 'SIGCONT');
    await until(() => first.isReached);
  });

  it('is missed by name when it cannot be started', async () => {
    socket = join(home, 'x'.repeat(120));
    expect(await client().start()).toBeNull();
    expect(lines[0]).toMatch(
      /^devices do not outlive this daemon: .*rsiod-keeper\.mjs does not start: it ended with 1$/,
    );
  });
});
