import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rig } from '../testing/rig.ts';

let rig: Rig;
let pid: number;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
  await rig.create('v', [rig.brick('b')]);
  await run('volume.start');
  [pid] = rig.processes.pidsOf('brick') as [number];
  rmSync(pidFile());
});
afterEach(async () => {
  await rig.daemon.close();
  rig.remove();
});

const run = (verb: 'volume.start' | 'volume.stop') => rig.done({ verb, volume: 'v', force: true });
const folder = () => join(rig.directories.run, 'vols/v');
const pidFile = () => join(folder(), readdirSync(folder()).find((name) => name.endsWith('.pid'))!);
const shown = async () => (await rig.done({ verb: 'volume.status', volume: 'v' })).volumes[0]!.processes[0]!;

describe('a brick whose pid file is gone', () => {
  it('is shown, and is the one that a start finds', async () => {
    expect(await shown()).toMatchObject({ online: true, pid });
    await run('volume.start');
    expect(rig.processes.pidsOf('brick')).toEqual([pid]);
    expect(readFileSync(pidFile(), 'utf8')).toBe(`${pid}\n`);
  });

  it('ends with its volume', async () => {
    await run('volume.stop');
    expect(rig.processes.pidsOf('brick')).toEqual([]);
  });

  it('is found by a glusterd that starts anew', async () => {
    await rig.daemon.close();
    await rig.start();
    await rig.daemon.resume();
    expect(rig.processes.pidsOf('brick')).toEqual([pid]);
    expect(await shown()).toMatchObject({ online: true, pid });
  });

  it('is no brick of another run directory', async () => {
    const words = rig.processes.alive.get(pid)!.map((word) => word.replace(rig.directories.run, '/elsewhere/run'));
    rig.processes.alive.set(pid, words);
    await rig.daemon.close();
    await rig.start();
    await rig.daemon.resume();
    expect(rig.processes.pidsOf('brick')).toHaveLength(2);
  });
});
