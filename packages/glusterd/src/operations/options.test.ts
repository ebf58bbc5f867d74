import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rig } from '../testing/rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
  await rig.createReplica('v');
});
afterEach(() => rig.remove());

const set = (volume: string, ...pairs: [string, string][]) =>
  ({ verb: 'volume.set', volume, pairs: pairs.map(([key, value]) => ({ key, value })) }) as const;
const volume = () => rig.daemon.context.store.state.volumes.get('v')!;

describe('volume set', () => {
  it('changes volfiles and lists what was set last first', async () => {
    await rig.done(set('v', ['cache-size', '64MB'], ['network.ping-timeout', '10']));
    await rig.done(set('v', ['user.comment', 'hello'], ['performance.cache-size', '32MB']));
    expect(Object.entries(volume().options).slice(0, 3)).toEqual([
      ['user.comment', 'hello'],
      ['network.ping-timeout', '10'],
      ['performance.cache-size', '32MB'],
    ]);
    expect(volume().version).toBe(3);
    expect(await rig.file('vols/v/v.tcp-fuse.vol')).toContain('option ping-timeout 10\n');
  });

  it('sets all or nothing', async () => {
    const text = await rig.refusal(set('v', ['network.ping-timeout', '10'], ['nosuch.opt', '1']));
    expect(text).toMatch(/^option : nosuch\.opt does not exist\nDid you mean /);
    expect(volume().options['network.ping-timeout']).toBeUndefined();
    expect(volume().version).toBe(1);
  });

  it('says of how bricks listen that those that run do not take it', async () => {
    const key = 'server.ssl';
    expect(await rig.done(set('v', [key, 'off']))).toEqual({});
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    const { warning } = await rig.done(set('v', [key, 'on'], ['network.ping-timeout', '10'], ['ssl.ca-list', '/ca']));
    expect(warning?.split('\n')).toEqual(
      [key, 'ssl.ca-list'].map((one) => `${one} has no effect on bricks that run: stop the volume and start it`),
    );
  });

  it('reads groups from the working directory only', async () => {
    mkdirSync(join(rig.directories.work, 'groups'), { recursive: true });
    writeFileSync(join(rig.directories.work, 'groups/mine'), 'network.ping-timeout=12\n\nuser.x=1\n');
    await rig.done({ verb: 'volume.set', volume: 'v', pairs: [], group: 'mine' });
    expect(volume().options).toMatchObject({ 'network.ping-timeout': '12', 'user.x': '1' });
    const outside = '../../etc/passwd';
    expect(await rig.refusal({ verb: 'volume.set', volume: 'v', pairs: [], group: outside })).toMatch(
      /^Unable to open file '.*'\. Error: No such file or directory$/,
    );
  });

  it('heals no more when healing is switched off; the daemon stays, to tell what is pending', async () => {
    await rig.done({ verb: 'volume.start', volume: 'v', force: false });
    expect(rig.processes.pidsOf('glustershd')).toHaveLength(1);
    await rig.done({ verb: 'volume.heal', volume: 'v', operation: { kind: 'disable' } });
    expect(rig.processes.pidsOf('glustershd')).toHaveLength(1);
    const launch = { verb: 'volume.heal', volume: 'v', operation: { kind: 'index' } } as const;
    expect(await rig.refusal(launch)).toBe('Self-heal-daemon is disabled. Heal will not be triggered on volume v');
    await rig.done({ verb: 'volume.heal', volume: 'v', operation: { kind: 'enable' } });
    expect(rig.processes.pidsOf('glustershd')).toHaveLength(1);
  });

  it('sets options of the pool', async () => {
    await rig.done(set('all', ['cluster.server-quorum-ratio', '51%']));
    expect(await rig.file('options')).toBe('cluster.server-quorum-ratio=51%\nglobal-option-version=1\n');
    const { volumes } = await rig.done({ verb: 'volume.info', volume: 'v' });
    expect(volumes[0]!.options.at(-1)).toEqual(['cluster.server-quorum-ratio', '51%']);
    await rig.done({ verb: 'volume.reset', volume: 'all', key: 'all', force: false });
    expect(await rig.file('options')).toBe('global-option-version=2\n');
  });
});

describe('volume get and reset', () => {
  it('shows values and defaults', async () => {
    await rig.done(set('v', ['network.ping-timeout', '10']));
    const get = async (key: string) => (await rig.done({ verb: 'volume.get', volume: 'v', key })).options;
    expect(await get('ping-timeout')).toEqual([{ key: 'network.ping-timeout', value: '10' }]);
    expect((await get('all')).length).toBeGreaterThan(200);
    expect(await rig.refusal({ verb: 'volume.get', volume: 'v', key: 'nosuch' })).toBe('Did you mean anonuid or nfs?');
    expect(await rig.refusal({ verb: 'volume.get', volume: 'x', key: 'all' })).toBe('Volume x does not exist');
  });

  it('goes back to the defaults', async () => {
    await rig.done(set('v', ['network.ping-timeout', '10'], ['user.a', 'b']));
    await rig.done({ verb: 'volume.reset', volume: 'v', key: 'ping-timeout', force: false });
    expect(volume().options['network.ping-timeout']).toBeUndefined();
    await rig.done({ verb: 'volume.reset', volume: 'v', key: 'all', force: false });
    expect(volume().options['user.a']).toBeUndefined();
    expect(volume().options['nfs.disable']).toBe('on');
  });
});

describe('volume heal', () => {
  const heal = (operation: Parameters<typeof rig.done<'volume.heal'>>[0]['operation']) =>
    ({ verb: 'volume.heal', volume: 'v', operation }) as const;
  const gfid = '00000000-0000-0000-0000-000000000001';

  beforeEach(() => rig.done({ verb: 'volume.start', volume: 'v', force: false }));

  it('asks the heal daemon and keeps the order of the volume', async () => {
    const entries = [{ path: '/f', gfid, splitBrain: false, healing: true }];
    rig.processes.answers['heal.info'] = [{ brick: rig.brick('v-2'), connected: true, entries }];
    const data = await rig.done(heal({ kind: 'info', what: 'all' }));
    expect(data).toMatchObject({
      kind: 'info',
      bricks: [
        { name: rig.brick('v-1'), connected: false },
        { name: rig.brick('v-2'), connected: true, entries },
        { name: rig.brick('v-3'), connected: false },
      ],
    });
    expect(rig.processes.asked.at(-1)).toMatchObject({ method: 'heal.info', params: { volume: 'v', kind: 'all' } });
  });

  it('tells when the daemon does not answer', async () => {
    expect(await rig.refusal(heal({ kind: 'index' }))).toBe(
      "Glusterd Syncop Mgmt brick op 'Heal' failed. Please check glustershd log file for details.",
    );
    expect(await rig.refusal(heal({ kind: 'info', what: 'all' }))).toMatch(/the self-heal daemon does not answer/);
  });

  it('counts per replica set', async () => {
    rig.processes.answers['heal.count'] = [{ brick: rig.brick('v-1'), count: 3 }];
    const data = await rig.done(heal({ kind: 'heal-count', replicaOf: rig.brick('v-1') }));
    expect(data).toEqual({
      kind: 'count',
      bricks: [
        { name: rig.brick('v-1'), count: 3 },
        { name: rig.brick('v-2'), count: null },
        { name: rig.brick('v-3'), count: null },
      ],
    });
  });

  it('refuses nonsense from the daemon', async () => {
    rig.processes.answers['heal.info'] = [{ brick: 7 }];
    expect(await rig.refusal(heal({ kind: 'info', what: 'all' }))).toMatch(/does not answer/);
  });
});
