/** Volumes whose files are moved, for new bricks and away from those that go. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RequestOf } from '../protocol/requests.ts';
import { addRequest, removeRequest } from '../testing/brick-requests.ts';
import { Rig } from '../testing/rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
});
afterEach(() => rig.remove());

const volume = () => rig.daemon.context.store.state.volumes.get('v')!;
const bricks = (...names: string[]) => names.map((name) => rig.brick(name));
const paths = () => volume().bricks.map((brick) => brick.path.slice(rig.root.length + 1));
const start = () => rig.done({ verb: 'volume.start', volume: 'v', force: false });
const add = (names: string[]) => addRequest(rig, names);
const remove = (names: string[], more: Partial<RequestOf<'volume.remove-brick'>> = {}) =>
  removeRequest(rig, names, more);

const progress = { movedFiles: 3, movedBytes: 30, scanned: 9, failures: 0, skipped: 1, seconds: 2 };
const says = (state: string) => {
  rig.processes.answers['rebalance.status'] = { state, ...progress };
  rig.processes.answers['rebalance.stop'] = { state: 'stopped', ...progress };
};
const rebalance = (operation: RequestOf<'volume.rebalance'>['operation']) =>
  ({ verb: 'volume.rebalance', volume: 'v', operation }) as const;
const rebalancing = () => rig.processes.ran.filter(({ args }) => args.includes('rebalance/v'));

describe('volume rebalance', () => {
  beforeEach(async () => {
    await rig.create('v', bricks('a', 'b'));
    await start();
  });

  it('runs a process, tells how far it is, and what it came to when it is gone', async () => {
    expect(await rig.refusal(rebalance('status'))).toBe('Rebalance not started for volume v.');
    const { task } = await rig.done(rebalance('start'));
    expect(rebalancing()).toHaveLength(1);
    expect(rebalancing()[0]!.args).toContain('*dht.rebalance-cmd=1');
    says('running');
    expect((await rig.done(rebalance('status'))).task).toMatchObject({ id: task.id, state: 'running', movedFiles: 3 });
    expect(await rig.refusal(rebalance('start'))).toBe('Rebalance on v is already started');
    expect(await rig.refusal(add(['c']))).toMatch(/rebalance is in progress/);
    expect(await rig.refusal({ verb: 'volume.stop', volume: 'v', force: false })).toMatch(/rebalance session is in/);
    rig.processes.answers = {};
    const folder = join(rig.directories.work, 'vols/v/rebalance');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'status.json'), JSON.stringify({ state: 'completed', ...progress, movedFiles: 7 }));
    expect((await rig.done(rebalance('status'))).task).toMatchObject({ state: 'completed', movedFiles: 7 });
    expect(volume().task).toMatchObject({ state: 'completed', movedFiles: 7 });
    await rig.done(add(['c']));
  });

  it('goes on when the process is gone and left no word: it is started again', async () => {
    await rig.done(rebalance('force'));
    for (const pid of rig.processes.pidsOf('rebalance/v')) rig.processes.alive.delete(pid);
    expect((await rig.done(rebalance('status'))).task).toMatchObject({ state: 'running' });
  });

  it('is stopped', async () => {
    await rig.done(rebalance('fix-layout'));
    says('running');
    expect((await rig.done(rebalance('stop'))).task).toMatchObject({ state: 'stopped', scanned: 9 });
    expect((await rig.done(rebalance('status'))).task).toMatchObject({ state: 'stopped' });
  });

  it('is for started volumes with something to distribute over', async () => {
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    expect(await rig.refusal(rebalance('start'))).toBe('Volume v needs to be started to perform rebalance');
    await rig.create('w', bricks('x'));
    expect(await rig.refusal({ ...rebalance('start'), volume: 'w' })).toMatch(
      /contains only 1 brick\.\nNot performing/,
    );
  });

  it('empties bricks that are removed', async () => {
    const { task } = await rig.done(remove(['b'], { action: 'start' }));
    expect(await rig.file('vols/v/v.tcp-fuse.vol')).toContain('option decommissioned-bricks v-client-1');
    expect(task).toMatchObject({ kind: 'remove-brick', bricks: [rig.brick('b')] });
    says('running');
    expect(await rig.refusal(remove(['b'], { action: 'commit' }))).toBe(
      "use 'force' option as migration is in progress",
    );
    expect(await rig.refusal(remove(['x'], { action: 'status' }))).toMatch(/^Incorrect brick/);
    expect(await rig.refusal(rebalance('status'))).toMatch(/is not yet committed/);
    says('completed');
    expect((await rig.done(remove(['b'], { action: 'status' }))).task).toMatchObject({ state: 'completed' });
    expect(await rig.refusal(remove(['b'], { action: 'start' }))).toMatch(/^An earlier remove-brick task exists/);
    await rig.done(remove(['b'], { action: 'commit' }));
    expect(paths()).toEqual(['a']);
    expect(volume().task).toBeUndefined();
  });

  it('puts bricks back into service when their removal is stopped', async () => {
    await rig.done(remove(['b'], { action: 'start' }));
    says('running');
    await rig.done(remove(['b'], { action: 'stop' }));
    expect(await rig.file('vols/v/v.tcp-fuse.vol')).not.toContain('decommissioned');
    expect(await rig.refusal(remove(['b'], { action: 'status' }))).toBe('remove-brick not started for volume v.');
  });

  it('does not remove bricks whose emptying was ended with the volume, unless forced', async () => {
    await rig.done(remove(['b'], { action: 'start' }));
    says('running');
    await rig.done({ verb: 'volume.stop', volume: 'v', force: true });
    expect(volume().task).toMatchObject({ state: 'stopped' });
    await start();
    expect(await rig.refusal(remove(['b'], { action: 'commit' }))).toBe(
      "use 'force' option as migration has not completed",
    );
    expect(paths()).toEqual(['a', 'b']);
    await rig.done(remove(['b'], { action: 'stop' }));
    await rig.done(remove(['b'], { action: 'start' }));
  });

  it('does not remove bricks whose emptying failed, unless forced', async () => {
    await rig.done(remove(['b'], { action: 'start' }));
    says('failed');
    expect(await rig.refusal(remove(['b'], { action: 'commit' }))).toBe("use 'force' option as migration has failed");
    await rig.done(remove(['b']));
    expect(paths()).toEqual(['a']);
  });
});
