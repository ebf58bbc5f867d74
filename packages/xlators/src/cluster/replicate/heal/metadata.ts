/** Metadata heal: owner, mode, xattrs and times of a source go to the sinks. */
import { FileType, type Gfid, type Iatt, locOf, type Success, type Xattrs } from '@mortar/core';
import { judge } from '../judgement.ts';
import type { Lease } from '../lease.ts';
import { isOwnXattr, type Replica } from '../replica.ts';
import { successAt } from '../replica-set.ts';
import { isSplit } from '../split-brain.ts';
import { clearMarks } from './marks.ts';
import { type HealContext, type HealResult, newest, notLocked, waitsForTheOther } from './result.ts';
import { restoreTimes, setTimes, type Times, timesOn } from './times.ts';

export async function healMetadata(context: HealContext, gfid: Gfid): Promise<HealResult> {
  const { replica } = context;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const lease = await replica.leases.acquire(gfid, call, context.patience);
  if ('errno' in lease) return notLocked(lease, 'cannot lock it for metadata heal');
  lease.recalled = true;
  try {
    return await healUnder(context, lease, gfid);
  } finally {
    replica.leases.done(lease);
    // The next step asks for the lease of its own; while ours is on its way off the bricks that would be refused.
    if (lease.users === 0) await lease.ended;
  }
}

async function healUnder(context: HealContext, lease: Lease, gfid: Gfid): Promise<HealResult> {
  const { replica } = context;
  const { set } = replica;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const verdict = judge(lease.matrix, 'metadata', set);
  if (!verdict.pending && !context.full) return { state: 'clean' };
  if (verdict.isAlone) return waitsForTheOther;
  const sources = verdict.sources.filter((child) => lease.holds.has(child));
  if (sources.length === 0)
    return {
      state: 'split-brain',
      kind: 'metadata',
      reason: `${gfid}: every replica is accused by another about its metadata`,
    };
  const replies = await replica.lookupAll(locOf(gfid), call, []);
  const found = sources.filter((child) => successAt(replies, child));
  if (found.length === 0) return { state: 'again' };
  const source = newest(found, replies);
  const truth = successAt(replies, source)!;
  const sinks = lease.participants.filter((child) => child !== source && successAt(replies, child));
  // Their times may tell which data are right.
  const own = isSplit(replica, lease, 'data') ? await timesOfAll(replica, gfid, sinks) : undefined;
  if (own === 'unknown') return { state: 'again' };
  for (const sink of sinks) {
    const done = await bringUp(context, lease, gfid, truth, successAt(replies, sink)!, source, sink);
    if (!done) return { state: 'waiting', reason: `metadata could not be set on child ${sink}` };
  }
  const timed = own
    ? (await Promise.all(own.map((times, i) => setTimes(replica, lease, gfid, times, [sinks[i]!])))).every(Boolean)
    : await restoreTimes(replica, lease, gfid, source, sinks);
  if (!timed) return { state: 'again' };
  const cleared = await clearMarks(replica, lease, gfid, 'metadata', [source, ...sinks], sources);
  const whole = verdict.sinks.every((sink) => sinks.includes(sink));
  if (!cleared) return { state: 'again' };
  return whole
    ? { state: verdict.pending ? 'healed' : 'clean' }
    : { state: 'waiting', reason: 'a replica that is to be healed is away or lacks the file' };
}

async function timesOfAll(replica: Replica, gfid: Gfid, children: readonly number[]): Promise<Times[] | 'unknown'> {
  const found = await Promise.all(children.map((child) => timesOn(replica, gfid, child)));
  return found.every((times) => times !== undefined) ? found : 'unknown';
}

async function bringUp(
  context: HealContext,
  lease: Lease,
  gfid: Gfid,
  truth: Success<'lookup'>,
  old: Success<'lookup'>,
  source: number,
  sink: number,
): Promise<boolean> {
  const { set } = context.replica;
  const call = { ...context.replica.rootCall(), internal: 'self-heal' as const };
  const loc = locOf(gfid);
  const xdata = { fence: lease.fenceOf(sink) };
  if (differs(truth.iatt, old.iatt)) {
    const { uid, gid, mode, type } = truth.iatt;
    const attr = { uid, gid, ...(type === FileType.symlink ? {} : { mode }) };
    const reply = await set.windOne(sink, 'setattr', call, { loc, attr, xdata });
    if (!reply.ok) return false;
  }
  const [want, have] = await Promise.all([xattrsOf(context, source, gfid), xattrsOf(context, sink, gfid)]);
  if (!want || !have) return false;
  for (const name of Object.keys(have)) {
    if (Object.hasOwn(want, name)) continue;
    const reply = await set.windOne(sink, 'removexattr', call, { loc, name, xdata });
    if (!reply.ok) return false;
  }
  const changed = changedXattrs(want, have);
  if (Object.keys(changed).length === 0) return true;
  const reply = await set.windOne(sink, 'setxattr', call, { loc, xattrs: changed, flags: 0, xdata });
  return reply.ok;
}

/** Whether owner or mode are others. */
export function differs(a: Iatt, b: Iatt): boolean {
  return a.uid !== b.uid || a.gid !== b.gid || a.mode !== b.mode;
}

/** Of `want` what `have` lacks or has otherwise. */
export function changedXattrs(want: Xattrs, have: Xattrs): Xattrs {
  return Object.fromEntries(
    Object.entries(want).filter(([name, value]) => !have[name] || Buffer.compare(value, have[name]) !== 0),
  );
}

async function xattrsOf(context: HealContext, child: number, gfid: Gfid): Promise<Xattrs | undefined> {
  const call = { ...context.replica.rootCall(), internal: 'self-heal' as const };
  const reply = await context.replica.set.windOne(child, 'getxattr', call, { loc: locOf(gfid) });
  return reply.ok ? sharedXattrs(reply.xattrs) : undefined;
}

const local =
  /^(trusted\.(gfid|gfid2path\..*|pgfid\..*|bit-rot\..*|glusterfs\.(mdata|volume-id|quota\..*))|glusterfs\..*|security\.selinux)$/;

/** The xattrs that replicas must have in common: users', ACLs, layouts; not those that speak of the brick itself. */
export function sharedXattrs(xattrs: Xattrs): Xattrs {
  return Object.fromEntries(Object.entries(xattrs).filter(([name]) => isShared(name)));
}

function isShared(name: string): boolean {
  return !isOwnXattr(name) && !local.test(name);
}
