/**
 * Heal of a small file in one go: where its sources are settled and it fits into one message, attributes and contents go over
 * together under one lease, with a third of the requests. What is not so simple is left to the steps of the ordinary heal.
 */
import {
  type Args,
  type Call,
  compoundStep,
  Fd,
  type Gfid,
  type Iatt,
  locOf,
  type RawStep,
  replyOfStep,
  type Xattrs,
} from '@mortar/core';
import { encodeVector, isZero, type Matrix, negated, vectorOf } from '../changelog.ts';
import { judge } from '../judgement.ts';
import type { Lease } from '../lease.ts';
import type { Replica } from '../replica.ts';
import { type Replies, successAt } from '../replica-set.ts';
import { changedXattrs, differs, sharedXattrs } from './metadata.ts';
import type { HealContext, HealResult } from './result.ts';
import { mdataKey } from './times.ts';

const smallBytes = 128 * 1024;
const capabilityKey = 'security.capability';

interface Copy {
  readonly iatt: Iatt;
  readonly mdata: Uint8Array | undefined;
  readonly shared: Xattrs;
  /** Of the source. */
  readonly data: Uint8Array | undefined;
}

/** Undefined: not so simple, or it did not come off; the ordinary heal finds out. */
export async function healSmallFile(
  context: HealContext,
  gfid: Gfid,
  before: Replies<'lookup'>,
): Promise<HealResult | undefined> {
  const { replica } = context;
  const { set } = replica;
  const sizes = before.map((_, child) => successAt(before, child)?.iatt.size);
  const isSmall = sizes.every((size) => size !== undefined && size <= smallBytes);
  if (context.full || set.arbiter !== undefined || !isSmall) return undefined;
  const call: Call = { ...replica.rootCall(), internal: 'self-heal' };
  const lease = await replica.leases.acquire(gfid, call, context.patience);
  if ('errno' in lease) return undefined;
  lease.recalled = true;
  const fd = new Fd(gfid, 0);
  try {
    return await healUnder(replica, lease, gfid, fd, call);
  } finally {
    fd.release();
    replica.leases.done(lease);
    if (lease.users === 0) await lease.ended;
  }
}

async function healUnder(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  fd: Fd,
  call: Call,
): Promise<HealResult | undefined> {
  const sides = lease.holds.size === replica.set.count ? sidesOf(lease.matrix) : undefined;
  if (!sides) return undefined;
  const { source, sinks } = sides;
  const [truth, ...old] = await Promise.all([
    copyOf(replica, source, gfid, call, fd),
    ...sinks.map((sink) => copyOf(replica, sink, gfid, call)),
  ]);
  if (!truth?.data || !isWhole(truth.iatt, truth.data)) return undefined;
  const steps = old.map((copy, i) => copy && bringUp(truth, copy, gfid, fd, lease.fenceOf(sinks[i]!)));
  if (steps.some((one) => one === undefined)) return undefined;
  const sync = replica.live.ensureDurability ? [compoundStep('fsync', { fd, dataOnly: false })] : [];
  const done = await Promise.all(
    sinks.map((sink, i) => runAll(replica, sink, call, [...steps[i]!, ...sync, ...grownUp(replica, lease, sink)])),
  );
  if (!done.every(Boolean)) return undefined;
  return (await clear(replica, lease, gfid, sinks, call)) ? { state: 'healed' } : { state: 'again' };
}

/** One that is right about data and attributes, and all that it accuses; undefined where anything is in doubt. */
function sidesOf(matrix: Matrix): { source: number; sinks: number[] } | undefined {
  if (matrix.some((log) => log?.dirty[0] !== 0 || log.dirty[1] !== 0)) return undefined;
  const [data, metadata] = [judge(matrix, 'data'), judge(matrix, 'metadata')];
  const sources = data.sources.filter((child) => metadata.sources.includes(child));
  const sinks = [...new Set([...data.sinks, ...metadata.sinks])];
  const isPlain = sinks.length > 0 && sources.length + sinks.length === matrix.length;
  return isPlain && sources[0] !== undefined ? { source: sources[0], sinks } : undefined;
}

async function copyOf(replica: Replica, child: number, gfid: Gfid, call: Call, fd?: Fd): Promise<Copy | undefined> {
  const loc = locOf(gfid);
  const steps = [compoundStep('lookup', { loc, want: [mdataKey] }), compoundStep('getxattr', { loc })];
  if (fd) steps.push(compoundStep('readv', { fd, size: smallBytes, offset: 0 }));
  const reply = await replica.set.windOne(child, 'compound', call, { steps });
  if (!reply.ok) return undefined;
  const found = replyOfStep('lookup', reply.replies, 0);
  const listed = replyOfStep('getxattr', reply.replies, 1);
  const read = fd && replyOfStep('readv', reply.replies, 2);
  if (!found?.ok || !listed?.ok || (read && !read.ok)) return undefined;
  const shared = sharedXattrs(listed.xattrs);
  return { iatt: found.iatt, mdata: found.xattrs[mdataKey], shared, data: read?.ok ? read.data : undefined };
}

/** All of it was read, and it has no holes that copying would fill. */
function isWhole(iatt: Iatt, data: Uint8Array): boolean {
  return data.length === iatt.size && iatt.blocks * 512 >= iatt.size;
}

/** Times last. Undefined: there is something to take away. */
function bringUp(truth: Copy, old: Copy, gfid: Gfid, fd: Fd, fence: number): RawStep[] | undefined {
  if (Object.keys(old.shared).some((name) => !Object.hasOwn(truth.shared, name))) return undefined;
  const loc = locOf(gfid);
  const xdata = { fence, keepTimes: true };
  const { uid, gid, mode, size, atime, atimeNsec, mtime, mtimeNsec } = truth.iatt;
  const steps: RawStep[] = [];
  const set = (attr: Args<'setattr'>['attr']) => steps.push(compoundStep('setattr', { loc, attr, xdata }));
  const isOther = differs(truth.iatt, old.iatt);
  if (isOther) set({ uid, gid, mode });
  // A new owner takes the capabilities off.
  const { [capabilityKey]: _, ...lasting } = old.shared;
  const changed = changedXattrs(truth.shared, isOther ? lasting : old.shared);
  if (Object.keys(changed).length > 0) steps.push(compoundStep('setxattr', { loc, xattrs: changed, flags: 0, xdata }));
  if (old.iatt.size > size) steps.push(compoundStep('ftruncate', { fd, size, xdata }));
  if (size > 0) steps.push(compoundStep('writev', { fd, offset: 0, data: truth.data!, xdata }));
  set({ atime: { sec: atime, nsec: atimeNsec }, mtime: { sec: mtime, nsec: mtimeNsec } });
  if (truth.mdata)
    steps.push(compoundStep('setxattr', { loc, xattrs: { [mdataKey]: truth.mdata }, flags: 0, xdata: { fence } }));
  return steps;
}

/** What it says against itself is over as soon as it is whole. */
function grownUp(replica: Replica, lease: Lease, sink: number): RawStep[] {
  const own = lease.matrix[sink]!.blames[sink]!;
  if (isZero(own)) return [];
  const values = { [replica.set.pendingKeys[sink]!]: encodeVector(negated(own)) };
  const xdata = { fence: lease.fenceOf(sink) };
  return [compoundStep('xattrop', { loc: locOf(lease.gfid), operation: 'add32', values, xdata })];
}

async function runAll(replica: Replica, child: number, call: Call, steps: RawStep[]): Promise<boolean> {
  const reply = await replica.set.windOne(child, 'compound', call, { steps });
  if (!reply.ok || reply.replies.length !== steps.length || !reply.replies.every((one) => one.ok)) return false;
  // A disk that is full takes a part.
  return steps.every((step, i) => {
    if (step.fop !== 'writev') return true;
    const said = replyOfStep('writev', reply.replies, i);
    return said?.ok === true && said.written === (step.args as Args<'writev'>).data.length;
  });
}

/** Exactly the blame that was read under the lease comes off. */
async function clear(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  sinks: readonly number[],
  call: Call,
): Promise<boolean> {
  const { set } = replica;
  const results = await Promise.all(
    lease.participants.map(async (child) => {
      const { blames } = lease.matrix[child]!;
      const values: Xattrs = {};
      for (const sink of sinks.filter((one) => one !== child)) {
        const [data, metadata] = blames[sink]!;
        if (data !== 0 || metadata !== 0)
          values[set.pendingKeys[sink]!] = encodeVector(vectorOf({ data: -data, metadata: -metadata }));
      }
      if (Object.keys(values).length === 0) return true;
      const xdata = { fence: lease.fenceOf(child) };
      return (await set.windOne(child, 'xattrop', call, { loc: locOf(gfid), operation: 'add32', values, xdata })).ok;
    }),
  );
  return results.every(Boolean);
}
