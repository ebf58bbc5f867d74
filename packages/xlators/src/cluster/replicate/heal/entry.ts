/** Entry heal: the names of a directory. Adds and removes on the sinks what the sources have and lack. */
import {
  type Args,
  type ByteString,
  type Call,
  Errno,
  Fd,
  FileType,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  statMode,
} from '@mortar/core';
import { judge } from '../changelog.ts';
import { newObjectBlame } from '../entry-changes.ts';
import type { Lease } from '../lease.ts';
import { type Replies, succeeded, successAt } from '../replica-set.ts';
import { clearMarks } from './marks.ts';
import { type HealContext, type HealResult, notLocked, sameMarks } from './result.ts';

/** Names healed under one lease; clients get in between. */
const batchLength = 64;
const pageBytes = 64 * 1024;

interface Truth {
  /** Children whose names are right; all participants when a union is made. */
  readonly sources: readonly number[];
  /** Nobody is right alone: add what any has, remove nothing (conservative merge). */
  readonly merge: boolean;
}

type NameResult = 'same' | 'healed' | { mismatch: 'gfid' | 'type'; name: ByteString } | { failed: string };

export async function healEntries(context: HealContext, gfid: Gfid): Promise<HealResult> {
  const { replica } = context;
  const call: Call = { ...replica.rootCall(), internal: 'self-heal' };
  let names: ByteString[] | undefined;
  let first: Lease | undefined;
  const trouble: Exclude<NameResult, 'same' | 'healed'>[] = [];
  for (;;) {
    const lease = await replica.leases.acquire(gfid, call, context.patience);
    if ('errno' in lease) return notLocked(lease, 'cannot lock the directory for entry heal');
    lease.recalled = true;
    try {
      const verdict = judge(lease.matrix, 'entry');
      if (!verdict.pending && !context.full) return { state: 'clean' };
      if (first && !sameMarks(first.matrix, lease.matrix, 'entry')) return { state: 'again' };
      first ??= lease;
      const truth = truthOf(lease, verdict);
      names ??= await namesToHeal(context, lease, gfid, truth, call);
      if (!names) return { state: 'again' };
      for (const name of names.splice(0, batchLength)) {
        const result = await healName(context, lease, gfid, name, truth, call);
        if (typeof result === 'object') trouble.push(result);
      }
      if (names.length === 0) return await finish(context, lease, gfid, trouble);
    } finally {
      replica.leases.done(lease);
      if (lease.users === 0) await lease.ended;
    }
  }
}

function truthOf(lease: Lease, verdict: ReturnType<typeof judge>): Truth {
  const sources = verdict.sources.filter((child) => lease.holds.has(child));
  const merge = sources.length === 0 || verdict.witness.some((count) => count > 0) || verdict.sinks.length === 0;
  return { sources: merge ? lease.participants : sources, merge };
}

/** The recorded names when every source recorded them and no brick needs everything; else all names of all. */
async function namesToHeal(
  context: HealContext,
  lease: Lease,
  gfid: Gfid,
  truth: Truth,
  call: Call,
): Promise<ByteString[] | undefined> {
  const granular = context.full || truth.merge ? undefined : await recordedNames(context, lease, gfid, truth);
  if (granular) return granular;
  const lists = await Promise.all(lease.participants.map((child) => listNames(context, child, gfid, call)));
  if (lists.some((list) => list === undefined)) return undefined;
  return [...new Set(lists.flatMap((list) => list!))];
}

async function recordedNames(
  context: HealContext,
  lease: Lease,
  gfid: Gfid,
  truth: Truth,
): Promise<ByteString[] | undefined> {
  const names = new Set<ByteString>();
  for (const source of truth.sources) {
    const log = lease.matrix[source]!;
    // A brand-new directory is marked in its data counter: everything in it is missing.
    if (log.blames.some((vector) => vector[0] !== 0)) return undefined;
    if (!log.blames.some((vector) => vector[2] !== 0)) continue;
    const recorded = await context.index.names(source, gfid);
    if (!recorded || recorded.length === 0) return undefined;
    for (const name of recorded) names.add(name);
  }
  return [...names];
}

async function listNames(
  context: HealContext,
  child: number,
  gfid: Gfid,
  call: Call,
): Promise<ByteString[] | undefined> {
  const { set } = context.replica;
  const fd = new Fd(gfid);
  try {
    const opened = await set.windOne(child, 'opendir', call, { loc: locOf(gfid), fd });
    if (!opened.ok) return undefined;
    const names: ByteString[] = [];
    for (let offset = 0; ; ) {
      const page = await set.windOne(child, 'readdir', call, { fd, size: pageBytes, offset });
      if (!page.ok) return undefined;
      for (const entry of page.entries) if (entry.name !== '.' && entry.name !== '..') names.push(entry.name);
      const last = page.entries.at(-1);
      if (page.end || !last) return names;
      offset = last.offset;
    }
  } finally {
    fd.release();
  }
}

async function healName(
  context: HealContext,
  lease: Lease,
  parent: Gfid,
  name: ByteString,
  truth: Truth,
  call: Call,
): Promise<NameResult> {
  const { set } = context.replica;
  const want = ['trusted.glusterfs.dht.linkto'];
  const replies = await set.wind(lease.participants, 'lookup', call, () => ({ loc: locAt(parent, name), want }));
  const unsure = lease.participants.find((child) => !replies[child]?.ok && !isMissing(replies, child));
  if (unsure !== undefined) return { failed: `${name} cannot be looked up on child ${unsure}` };
  const having = succeeded(replies).filter((child) => truth.sources.includes(child));
  const gfids = new Set(having.map((child) => successAt(replies, child)!.iatt.gfid));
  if (gfids.size > 1) return { mismatch: 'gfid', name };
  const [right] = having;
  if (right === undefined) return truth.merge ? 'same' : removeFrom(context, lease, parent, name, replies, call);
  const truly = successAt(replies, right)!.iatt;
  if (succeeded(replies).some((child) => truth.merge && successAt(replies, child)!.iatt.type !== truly.type))
    return { mismatch: 'type', name };
  let result: NameResult = 'same';
  for (const child of lease.participants) {
    const mine = successAt(replies, child)?.iatt;
    if (mine && mine.gfid === truly.gfid) continue;
    if (mine) {
      const removed = await removeOne(context, lease, parent, name, mine, child, call);
      if (removed) return removed;
    }
    const made = await makeOn(context, lease, parent, name, truly, right, having, child, call);
    if (made) return made;
    result = 'healed';
  }
  return result;
}

function isMissing(replies: Replies<'lookup'>, child: number): boolean {
  const reply = replies[child];
  return reply !== undefined && !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
}

async function removeFrom(
  context: HealContext,
  lease: Lease,
  parent: Gfid,
  name: ByteString,
  replies: Replies<'lookup'>,
  call: Call,
): Promise<NameResult> {
  let result: NameResult = 'same';
  for (const child of succeeded(replies)) {
    const failed = await removeOne(context, lease, parent, name, successAt(replies, child)!.iatt, child, call);
    if (failed) return failed;
    result = 'healed';
  }
  return result;
}

async function removeOne(
  context: HealContext,
  lease: Lease,
  parent: Gfid,
  name: ByteString,
  iatt: Iatt,
  child: number,
  call: Call,
): Promise<NameResult | undefined> {
  const { set } = context.replica;
  const loc = locAt(parent, name, iatt.gfid);
  const xdata = { fence: lease.fenceOf(child) };
  const reply =
    iatt.type === FileType.directory
      ? await set.windOne(child, 'rmdir', call, { loc, recursive: true, xdata })
      : await set.windOne(child, 'unlink', call, { loc, xdata });
  return reply.ok || reply.errno === Errno.ENOENT
    ? undefined
    : { failed: `${name} cannot be removed from child ${child}: errno ${reply.errno}` };
}

/** First the blame on those that have it, then the object: at no time is it there, empty and unmarked. */
async function makeOn(
  context: HealContext,
  lease: Lease,
  parent: Gfid,
  name: ByteString,
  iatt: Iatt,
  source: number,
  having: readonly number[],
  child: number,
  call: Call,
): Promise<NameResult | undefined> {
  const { set } = context.replica;
  const loc = locAt(parent, name);
  const xdata = { fence: lease.fenceOf(child) };
  const existing = await set.windOne(child, 'lookup', call, { loc: locOf(iatt.gfid) });
  if (existing.ok && iatt.type !== FileType.directory) {
    const linked = await set.windOne(child, 'link', call, { from: locOf(iatt.gfid), to: loc, xdata });
    return linked.ok || linked.errno === Errno.EEXIST
      ? undefined
      : { failed: `${name} cannot be linked on child ${child}: errno ${linked.errno}` };
  }
  if (existing.ok)
    return { failed: `${name} is the directory ${iatt.gfid}, which has another name on child ${child} still` };
  const values = newObjectBlame(context.replica, iatt.type, [child]);
  if (Object.keys(values).length > 0) {
    const marked = await set.wind(having, 'xattrop', call, () => ({
      loc: locOf(iatt.gfid),
      operation: 'add32' as const,
      values,
    }));
    if (succeeded(marked).length === 0) return { failed: `${name} cannot be marked for healing` };
  }
  const failed = await makeObject(context, iatt, source, loc, child, { ...call, uid: iatt.uid, gid: iatt.gid }, xdata);
  if (failed !== undefined) return { failed: `${name} cannot be made on child ${child}: errno ${failed}` };
  context.found(iatt.gfid);
  return undefined;
}

async function makeObject(
  context: HealContext,
  iatt: Iatt,
  source: number,
  loc: Args<'mkdir'>['loc'],
  child: number,
  call: Call,
  xdata: { fence: number },
): Promise<Errno | undefined> {
  const { set } = context.replica;
  const { gfid, mode } = iatt;
  if (iatt.type === FileType.directory) {
    const reply = await set.windOne(child, 'mkdir', call, { loc, mode, gfid, xdata });
    return reply.ok ? undefined : reply.errno;
  }
  if (iatt.type === FileType.symlink) {
    const target = await set.windOne(source, 'readlink', call, { loc: locOf(gfid) });
    if (!target.ok) return target.errno;
    const reply = await set.windOne(child, 'symlink', call, { loc, target: target.target, gfid, xdata });
    return reply.ok ? undefined : reply.errno;
  }
  const { rdevMajor, rdevMinor } = iatt;
  const reply = await set.windOne(child, 'mknod', call, {
    loc,
    mode: statMode(iatt),
    rdevMajor,
    rdevMinor,
    gfid,
    xdata,
  });
  return reply.ok ? undefined : reply.errno;
}

async function finish(
  context: HealContext,
  lease: Lease,
  gfid: Gfid,
  trouble: readonly Exclude<NameResult, 'same' | 'healed'>[],
): Promise<HealResult> {
  const { replica } = context;
  const mismatch = trouble.find((one) => 'mismatch' in one);
  if (mismatch && 'mismatch' in mismatch)
    return {
      state: 'split-brain',
      kind: mismatch.mismatch,
      reason: `${gfid}/${mismatch.name}: the replicas have different files of this name`,
    };
  const failed = trouble[0];
  if (failed && 'failed' in failed) return { state: 'waiting', reason: failed.failed };
  const verdict = judge(lease.matrix, 'entry');
  if (!(await clearMarks(replica, lease, gfid, 'entry', lease.participants))) return { state: 'again' };
  await clearNewMark(context, lease, gfid);
  const absent = verdict.sinks.filter((sink) => !lease.holds.has(sink));
  if (absent.length > 0)
    return { state: 'waiting', reason: `children ${absent.join(', ')} that are to be healed are away` };
  for (const child of lease.participants) await context.index.forgetParent(child, gfid);
  return { state: verdict.pending ? 'healed' : 'clean' };
}

/** The mark "everything in it is missing" of a new directory. */
async function clearNewMark(context: HealContext, lease: Lease, gfid: Gfid): Promise<void> {
  if (judge(lease.matrix, 'data').pending) await clearMarks(context.replica, lease, gfid, 'data', lease.participants);
}
