/** Attached volumes whose daemon dies, is stopped and started, or never comes back: what their users notice. */
import { spawn } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  AttachBox,
  attachLack,
  fromEnvironment,
  hasTool,
  loopsBelow,
  mountsBelow,
  must,
  runProgram,
  verifyDuring,
} from '../support/attach-rig.ts';
import { eventually } from '../support/cluster.ts';
import { isAlive } from '../support/sandbox.ts';

if (attachLack !== null) console.log(`attached volumes and restarts: ${attachLack}: skipped`);
else if (!hasTool('fio')) console.log('attached volumes and restarts: fio is not installed: its test is skipped');
/** So many kills under load. */
const kills = fromEnvironment('MORTAR_ATTACH_KILLS', 5);
const [major, minor] = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number);
/** The kernel gives out again what a dead daemon had in its hands. */
const canResend = major! > 6 || (major === 6 && minor! >= 9);
if (!canResend) console.log('attached volumes and restarts: Linux 6.9 is needed to survive a kill: skipped');

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
let rig: AttachBox;

describe.skipIf(attachLack !== null || !canResend)('attached volumes, restarted', { timeout: 300_000 }, () => {
  beforeAll(async () => {
    rig = new AttachBox();
    const path = join(rig.box.path, 'disk');
    await rig.start(`[device disk]\npath=${path}\nsize=64m\ncreate=yes\n`);
    expect(await rig.said('-a')).toBe('0 osl:disk\n');
  }, 120_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(rig.box.log('rsiod.log').split('\n').slice(-40).join('\n'));
  });
  afterAll(() => rig.end(), 60_000);

  it.skipIf(!hasTool('fio'))(`do not notice that the daemon is killed, ${kills} times`, async () => {
    const target = readlinkSync(rig.node('disk'));
    const rounds = await verifyDuring(target, 4, async () => {
      for (let i = 0; i < kills; i++) {
        await pause(300 + 150 * (i % 4));
        await rig.kill(rig.daemon);
        await pause(100);
        await rig.startDaemon();
      }
    });
    expect(rounds).toBeGreaterThan(0);
    expect(readlinkSync(rig.node('disk'))).toBe(target);
    expect(loopsBelow(rig.box.path)).toEqual([target]);
    expect(rig.keepers).toHaveLength(1);
  });

  it('wait for the next run when the daemon is ended while they are in use, and are unused to it afterwards', async () => {
    const held = spawn('sh', ['-c', `exec 9<${rig.node('disk')}; exec sleep 100`], { stdio: 'ignore' });
    try {
      const target = readlinkSync(rig.node('disk'));
      await eventually('it is in use', async () => (await rig.said('-d', 'disk')).includes('in use'));
      await rig.kill(rig.daemon, 'SIGTERM');
      expect(loopsBelow(rig.box.path)).toEqual([target]);
      const waiting = must('dd', 'if=/dev/urandom', `of=${target}`, 'bs=4k', 'count=8', 'oflag=direct');
      await rig.startDaemon();
      await waiting;
      expect(await rig.said('-d', 'disk')).toMatch(/^1 osl:disk: \/dev\/loop\d+ is in use by process/);
    } finally {
      held.kill('SIGKILL');
    }
    expect(await rig.said('-d', 'disk')).toBe('0 osl:disk\n');
    expect([...loopsBelow(rig.box.path), ...mountsBelow(rig.box.path)]).toEqual([]);
    expect(await rig.said('-a', 'disk')).toBe('0 osl:disk\n');
  });

  it('have another keeper when theirs is killed', async () => {
    const [before] = rig.keepers;
    await rig.kill(before!);
    await eventually('another one has them', () => /another one has 1 descriptors/.test(rig.box.log('rsiod.log')));
    await rig.kill(rig.daemon);
    const waiting = must('dd', 'if=/dev/urandom', `of=${rig.node('disk')}`, 'bs=4k', 'count=8', 'oflag=direct');
    await rig.startDaemon();
    await waiting;
  });

  it('are served at once after a restart, and fail after the loss time while there is no server', async () => {
    await rig.kill(rig.server);
    await rig.kill(rig.daemon);
    const write = ['if=/dev/zero', `of=${rig.node('disk')}`, 'bs=4k', 'count=1', 'oflag=direct'];
    const waiting = runProgram('dd', write);
    await rig.startDaemon('attach=loop', 'loss-time=2');
    expect((await rig.rsconfig('-lvv')).stdout).toContain('0 server(s)');
    expect((await waiting).text).toContain('Input/output error');
    expect((await runProgram('dd', write)).text).toContain('Input/output error');
    await rig.startServer();
    await eventually('it is there again', async () => (await runProgram('dd', write)).code === 0);
  });

  it('fail when the daemon does not come back for the keep time', async () => {
    const [keeper] = rig.keepers;
    await rig.kill(rig.daemon);
    await rig.startDaemon('attach=loop\nkeep-time=1');
    await rig.kill(rig.daemon);
    const failed = await runProgram('dd', [
      'if=/dev/zero',
      `of=${rig.node('disk')}`,
      'bs=4k',
      'count=1',
      'oflag=direct',
    ]);
    expect(failed.text).toContain('Input/output error');
    await eventually('the keeper has ended', () => !isAlive(keeper!));
    await rig.startDaemon();
    expect(loopsBelow(rig.box.path)).toHaveLength(1);
    await must('dd', 'if=/dev/zero', `of=${rig.node('disk')}`, 'bs=4k', 'count=1', 'oflag=direct');
  });
});
