import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rig } from '../testing/rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
  await rig.createReplica('v');
  await rig.done({ verb: 'volume.start', volume: 'v', force: false });
  rig.processes.answers = { 'graph.refresh': null };
});
afterEach(() => rig.remove());

const profile = (operation: 'start' | 'stop' | 'info', more = {}) =>
  ({ verb: 'volume.profile', volume: 'v', operation, ...more }) as const;
const options = () => rig.daemon.context.store.state.volumes.get('v')!.options;
const asked = (method: string) => rig.processes.asked.filter((one) => one.method === method);

describe('volume profile', () => {
  it('is two options, which the bricks have before the command returns', async () => {
    await rig.done(profile('start'));
    expect(options()).toMatchObject({
      'diagnostics.latency-measurement': 'on',
      'diagnostics.count-fop-hits': 'on',
    });
    expect(asked('graph.refresh')).toHaveLength(3);
    expect(await rig.refusal(profile('start'))).toBe('Profile on Volume v is already started');
    await rig.done(profile('stop'));
    expect(Object.keys(options()).filter((key) => key.startsWith('diagnostics.'))).toEqual([]);
    expect(await rig.refusal(profile('stop'))).toBe('Profile on Volume v is not started');
  });

  it('shows what bricks answer, and leaves out those that answer nonsense', async () => {
    expect(await rig.refusal(profile('info'))).toBe('Profile on Volume v is not started');
    await rig.done(profile('start'));
    rig.processes.answers['brick.profile'] = { cleared: true };
    const { bricks } = await rig.done(profile('info', { what: 'clear' }));
    expect(bricks).toHaveLength(3);
    expect(bricks[0]).toMatchObject({ cleared: true, name: expect.stringContaining(':/') });
    expect(asked('brick.profile')[0]!.params).toEqual({ what: 'clear', peek: false });
    rig.processes.answers['brick.profile'] = { cumulative: { fops: 'many' } };
    expect(await rig.done(profile('info'))).toEqual({ bricks: [] });
  });
});

describe('volume top', () => {
  const top = (more = {}) => ({ verb: 'volume.top', volume: 'v', operation: 'read', ...more }) as const;

  it('asks the bricks, or one of them', async () => {
    rig.processes.answers['brick.top'] = { openNow: 0, openMax: 0, openMaxTime: '', members: [] };
    const { bricks } = await rig.done(top());
    expect(bricks).toHaveLength(3);
    expect((await rig.done(top({ brick: bricks[1]!.name, count: 2 }))).bricks).toHaveLength(1);
    expect(asked('brick.top').at(-1)!.params).toEqual({ operation: 'read', count: 2 });
    expect(await rig.refusal(top({ brick: 'node1:/nowhere' }))).toContain('is not part of volume v');
  });

  it('does not fill a disk to measure it', async () => {
    const measure = { blockSize: 2 ** 30, blocks: 1000 };
    expect(await rig.refusal(top({ measure }))).toContain('more than');
  });
});

describe('volume barrier', () => {
  const barrier = (state: string) => ({ verb: 'volume.barrier', volume: 'v', state }) as const;

  it('is set once and taken away once', async () => {
    await rig.done(barrier('enable'));
    expect(options()['features.barrier']).toBe('enable');
    for (const state of ['enable', 'bogus'])
      expect(await rig.refusal(barrier(state))).toBe('Failed to reconfigure barrier.');
    await rig.done(barrier('disable'));
    expect(await rig.refusal(barrier('disable'))).toBe('Failed to reconfigure barrier.');
  });
});

describe('volume clear-locks', () => {
  const request = { verb: 'volume.clear-locks', volume: 'v', path: '/f', kind: 'all', type: 'posix' } as const;

  it('names brick and file where locks were taken away', async () => {
    rig.processes.answers['brick.clearLocks'] = { text: 'v-locks: posix blocked locks=0 granted locks=1' };
    const { lines } = await rig.done({ ...request, detail: '0,7-1' });
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^\S+:\/\S+\/f: posix blocked locks=0 granted locks=1$/);
    expect(asked('brick.clearLocks')[0]!.params).toEqual({ path: '/f', name: 'glusterfs.clrlk.tposix.kall.0,7-1' });
  });

  it('says that there was nothing, or no such file', async () => {
    rig.processes.answers['brick.clearLocks'] = { text: 'v-locks: posix blocked locks=0 granted locks=0' };
    expect((await rig.done(request)).lines).toEqual(Array(3).fill('No locks cleared.'));
    rig.processes.answers['brick.clearLocks'] = { errno: 2 };
    expect(await rig.refusal(request)).toBe('clear-locks getxattr command failed. Reason: No such file or directory');
  });
});

describe('options whose translator is missing', () => {
  it('are kept with a note where the volume is only slower', async () => {
    const set = (key: string, value: string) => ({ verb: 'volume.set' as const, volume: 'v', pairs: [{ key, value }] });
    const { warning } = await rig.done(set('performance.nl-cache', 'on'));
    expect(warning).toMatch(/^performance\.nl-cache has no effect: this build has no performance\/nl-cache translator/);
    expect(await rig.done(set('performance.nl-cache', 'off'))).toEqual({});
    expect(await rig.refusal(set('server.statedump-path', '/nosuchfolder'))).toContain('is not a directory');
  });
});

describe('system uuid reset', () => {
  const reset = { verb: 'system.uuid.reset' } as const;

  it('is for nodes without volumes', async () => {
    expect(await rig.refusal(reset)).toMatch(/^volumes are already present/);
    await rig.done({ verb: 'volume.stop', volume: 'v', force: false });
    await rig.done({ verb: 'volume.delete', volume: 'v' });
    const before = rig.daemon.context.store.state.node.uuid;
    const { uuid } = await rig.done(reset);
    expect(uuid).not.toBe(before);
    expect(await rig.file('glusterd.info')).toContain(`UUID=${uuid}\n`);
  });
});

describe('volume statedump', () => {
  const request = { verb: 'volume.statedump' as const, volume: 'v', options: [] };
  const dumps = () => rig.processes.asked.filter(({ method }) => method === 'process.statedump');

  it('is made by each brick that runs', async () => {
    rig.processes.answers['process.statedump'] = { path: '/dump' };
    rig.processes.die(rig.processes.pidsOf('brick')[0]!);
    expect(await rig.done(request)).toEqual({});
    expect(new Set(dumps().map(({ socketPath }) => socketPath)).size).toBe(2);
  });

  it('names each brick that could not write it, and why', async () => {
    const { ask } = rig.processes;
    const sockets: string[] = [];
    rig.processes.ask = (socketPath, method, params) => {
      if (method === 'process.statedump' && sockets.push(socketPath) !== 2)
        return Promise.reject(new Error('could not write a state dump: ENOSPC'));
      return ask.call(rig.processes, socketPath, method, params);
    };
    rig.processes.answers['process.statedump'] = { path: '/dump' };
    const [first, second, ...rest] = (await rig.refusal(request)).split('\n');
    expect(rest).toEqual([]);
    for (const line of [first, second]) expect(line).toMatch(/^node1:\/\S+v-\d: could not write a state dump: ENOSPC$/);
    expect(first).not.toBe(second);
  });
});
