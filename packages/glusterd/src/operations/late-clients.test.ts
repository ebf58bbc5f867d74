/** Whom a rebalance waits for, as the bricks tell it, and as `status` tells it. */
import { ManagementClient, MemoryStream } from '@mortar/rpc';
import type { PeerIdentity } from '@mortar/rpc/stream.ts';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rig } from '../testing/rig.ts';
import { type Census, lateClients } from './late-clients.ts';

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.start();
  await rig.create('v', [rig.brick('a'), rig.brick('b')]);
  await rig.done({ verb: 'volume.start', volume: 'v', force: false });
});
afterEach(() => rig.remove());

const volume = () => rig.daemon.context.store.state.volumes.get('v')!;
const client = (more: object) => ({
  hostname: '',
  bytesRead: 0,
  bytesWritten: 0,
  opVersion: 1,
  name: 'glusterfs',
  ...more,
});
const told = (placement: string, processId = 5) => client({ host: 'node7', processId, placement });
const ask = (fence = true): Promise<Census> =>
  lateClients(rig.daemon.context, { volumeId: volume().id, placement: 'new', version: 3, fence });
const fences = () => rig.processes.asked.filter(({ method }) => method === 'brick.fencePlacement');

describe('clients of the bricks', () => {
  it('that have another placement are late, each once, and no brick is told anything', async () => {
    rig.processes.answers = { 'brick.clients': [told('old'), told('new', 6), told('older', 7)] };
    expect(await ask()).toEqual({
      late: [
        { program: 'glusterfs', host: 'node7', processId: 5 },
        { program: 'glusterfs', host: 'node7', processId: 7 },
      ],
      isClear: false,
      unasked: [],
    });
    expect(fences()).toEqual([]);
  });

  it('that say nothing of it are not waited for, and no late one is let in any more', async () => {
    rig.processes.answers = {
      'brick.clients': [told('new'), told(''), client({})],
      'brick.fencePlacement': { fenced: true },
    };
    expect(await ask()).toEqual({ late: [], isClear: true, unasked: [] });
    expect(fences().map(({ params }) => params)).toEqual([
      { placement: 'new', version: 3 },
      { placement: 'new', version: 3 },
    ]);
  });

  it('that came between the two questions are seen by the brick', async () => {
    rig.processes.answers = { 'brick.clients': [told('new')], 'brick.fencePlacement': { fenced: false } };
    expect(await ask()).toEqual({ late: [], isClear: false, unasked: [] });
  });

  it('are left as they are when nobody is waited for', async () => {
    rig.processes.answers = { 'brick.clients': [told('new')] };
    expect(await ask(false)).toEqual({ late: [], isClear: true, unasked: [] });
    expect(fences()).toEqual([]);
  });

  it('of bricks that cannot be asked are not known', async () => {
    rig.processes.answers = {};
    expect(await ask()).toEqual({ late: [], isClear: true, unasked: [rig.brick('a'), rig.brick('b')] });
  });

  const asks = async (peer: PeerIdentity, params: object) => {
    const [mine, theirs] = MemoryStream.pair('test');
    Object.defineProperty(theirs, 'peer', { value: peer });
    rig.daemon.server.accept(theirs);
    const transport = { connect: async () => mine, listen: () => Promise.reject(new Error('no')) };
    const options = { clock: nodeClock, program: 'test' };
    const connected = await ManagementClient.connect(transport, { kind: 'memory', name: 'test' }, options);
    try {
      return await connected.call('rebalance.clients', { placement: 'new', version: 3, fence: false, ...params });
    } finally {
      connected.close();
    }
  };
  const peer = (isLocal: boolean): PeerIdentity => ({
    kind: 'tcp',
    address: 'x',
    port: 1,
    isLocal,
    isLocalRoot: false,
  });

  it('are told to processes of this machine', async () => {
    rig.processes.answers = { 'brick.clients': [told('old')] };
    expect(await asks(peer(true), { volumeId: volume().id })).toMatchObject({ late: [{ processId: 5 }] });
    await expect(asks(peer(false), { volumeId: volume().id })).rejects.toMatchObject({ code: 'EACCES' });
    await expect(asks(peer(true), { volumeId: 'another' })).rejects.toThrow('there is no volume another');
    await expect(asks(peer(true), { volumeId: volume().id, placement: '' })).rejects.toMatchObject({
      code: 'BAD_PARAMS',
    });
  });
});

describe('status', () => {
  const progress = { movedFiles: 0, movedBytes: 0, scanned: 0, failures: 0, skipped: 0, seconds: 2 };
  const waits = [{ program: 'glusterfs', host: 'node7', processId: 5, seconds: 9 }];
  const status = () => rig.done({ verb: 'volume.rebalance', volume: 'v', operation: 'status' });
  const says = (state: string, more: object = {}) => {
    rig.processes.answers = { 'rebalance.status': { state, ...progress }, ...more };
  };

  it('of a rebalance tells whom it waits for, while it runs', async () => {
    await rig.done({ verb: 'volume.rebalance', volume: 'v', operation: 'start' });
    says('running', { 'rebalance.waits': waits });
    expect(await status()).toMatchObject({ awaited: waits });
    says('running', { 'rebalance.waits': [] });
    expect(await status()).not.toHaveProperty('awaited');
    says('running');
    expect(await status()).toMatchObject({ task: { state: 'running' } });
    says('completed', { 'rebalance.waits': waits });
    expect(await status()).not.toHaveProperty('awaited');
  });

  it('of a remove-brick does so, too', async () => {
    const bricks = [rig.brick('b')];
    const removal = { verb: 'volume.remove-brick', volume: 'v', bricks } as const;
    await rig.done({ ...removal, action: 'start' });
    says('running', { 'rebalance.waits': waits });
    expect(await rig.done({ ...removal, action: 'status' })).toMatchObject({ awaited: waits });
  });
});
