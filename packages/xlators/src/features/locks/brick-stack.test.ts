/** A brick's translators over the disk, in the order in which volgen stacks them, must behave as the disk alone. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  buildGraph,
  type Fop,
  type FopName,
  fopNames,
  locAt,
  locOf,
  newGfid,
  type OptionTable,
  parseVolfile,
  type Registry,
  rootGfid,
  startGraph,
  stopGraph,
  type XlatorType,
} from '@mortar/core';
import { fopConformance } from '@mortar/testing/conformance/index.ts';
import { describe, expect, it } from 'vitest';
import { rigCall, rigServices } from '../../lib/translator-rig.ts';
import { xlator as ioThreads } from '../../performance/io-threads/index.ts';
import { xlator as posix } from '../../storage/posix/index.ts';
import { xlator as accessControl } from '../access-control/index.ts';
import { xlator as barrier } from '../barrier/index.ts';
import { xlator as index } from '../index/index.ts';
import { xlator as readOnly } from '../read-only/index.ts';
import { xlator as upcall } from '../upcall/index.ts';
import { xlator as utime } from '../utime/index.ts';
import { xlator as locks } from './index.ts';

function erased<T extends OptionTable>(type: XlatorType<T>): XlatorType {
  return type as unknown as XlatorType;
}

const types: Registry = new Map(
  [
    erased(posix),
    erased(accessControl),
    erased(locks),
    erased(readOnly),
    erased(upcall),
    erased(ioThreads),
    erased(barrier),
    erased(index),
    erased(utime),
  ].map((type) => [type.type, type]),
);

async function makeStack() {
  const brick = mkdtempSync(join(tmpdir(), 'mortar-stack-'));
  mkdirSync(join(brick, '.glusterfs'), { mode: 0o700 });
  const options: Record<string, string> = {
    'storage/posix': `option directory ${brick}\noption reserve 0`,
    'features/index': `option index-base ${brick}/.glusterfs/indices\noption xattrop-pending-watchlist trusted.afr.v-`,
    'features/upcall': 'option cache-invalidation on',
  };
  const volumes = [...types.keys()].map((type, at) =>
    [`volume v${at}`, `type ${type}`, options[type], at > 0 ? `subvolumes v${at - 1}` : undefined, 'end-volume']
      .filter((line) => line !== undefined)
      .join('\n'),
  );
  const services = rigServices();
  const graph = buildGraph(parseVolfile(volumes.join('\n'), 'brick.vol'), types, services);
  await startGraph(graph);
  // Nobody waits any more for what a process before this one may have promised.
  await services.clock.advance(1000);
  const close = async () => {
    await stopGraph(graph);
    rmSync(brick, { recursive: true, force: true });
  };
  return { ops: graph.top.ops, services, close, brick };
}

fopConformance(async () => {
  const stack = await makeStack();
  // The suite makes files as users in the root directory, and in one of group 42.
  await stack.ops.setattr(rigCall('c'), { loc: locOf(rootGfid), attr: { mode: 0o777 } });
  const asMember = (name: FopName): [FopName, Fop<FopName>] => {
    const fop = stack.ops[name] as Fop<FopName>;
    return [name, (call, args) => fop({ ...call, groups: [...call.groups, 42] }, args)];
  };
  return { ...stack, ops: { ...stack.ops, ...Object.fromEntries(fopNames.map(asMember)) } };
});

describe('a brick stack', () => {
  it('takes a lock, runs a fenced compound under it, and keeps the index', async () => {
    const { ops, services, close } = await makeStack();
    const call = rigCall('client', { lockOwner: '01' });
    const gfid = newGfid(services.random);
    const flock = { type: 'write' as const, start: 0, length: 0, owner: '01', pid: 1 };
    await ops.mkdir(call, { loc: locAt(rootGfid, 'd'), mode: 0o755, gfid });
    const lock = { loc: locOf(gfid), domain: 'v-replicate-0', command: 'try' as const, flock };
    const taken = await ops.inodelk(call, lock);
    if (!taken.ok) throw new Error('no lock');
    const count = async (kind: string) => {
      const reply = await ops.ipc(call, { operation: 'index.count', data: Buffer.from(JSON.stringify({ kind })) });
      return reply.ok ? JSON.parse(Buffer.from(reply.data!).toString()).count : reply.errno;
    };
    const fenced = (delta: number) => {
      const value = Buffer.alloc(12);
      value.writeInt32BE(delta, 8);
      const values = { 'trusted.afr.dirty': value };
      const args = { loc: locOf(gfid), operation: 'add32', values, xdata: { fence: taken.fence } };
      return ops.compound(call, { steps: [{ fop: 'xattrop', args }] });
    };
    expect(await fenced(1)).toMatchObject({ replies: [{ ok: true }] });
    expect(await count('dirty')).toBe(1);
    expect(await fenced(-1)).toMatchObject({ replies: [{ ok: true }] });
    expect(await count('dirty')).toBe(0);
    await ops.inodelk(call, { ...lock, command: 'unlock' });
    expect(await fenced(1)).toMatchObject({ replies: [{ ok: false }] });
    expect(await count('dirty')).toBe(0);
    await close();
  });

  it('lets users do only what they may', async () => {
    const { ops, services, close } = await makeStack();
    const make = (uid: number, name: string) =>
      ops.mkdir(rigCall('c', { uid, gid: uid }), {
        loc: locAt(rootGfid, name),
        mode: 0o755,
        gfid: newGfid(services.random),
      });
    expect((await make(0, 'a')).ok).toBe(true);
    expect((await make(1000, 'b')).ok).toBe(false);
    await ops.setattr(rigCall('c'), { loc: locOf(rootGfid), attr: { mode: 0o777 } });
    expect((await make(1000, 'b')).ok).toBe(true);
    await close();
  });
});
