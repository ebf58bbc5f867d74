/** Data heal: the contents of a source go to the sinks, window by window; clients work in between. */
import { type Call, Errno, type Failure, Fd, fail, type Gfid, locOf, type Reply } from '@mortar/core';
import type { Matrix } from '../changelog.ts';
import { judge } from '../judgement.ts';
import type { Lease } from '../lease.ts';
import { successAt } from '../replica-set.ts';
import { clearMarks } from './marks.ts';
import { type HealContext, type HealResult, newest, notLocked, sameMarks, waitsForTheOther } from './result.ts';
import { SoleHealer } from './sole-healer.ts';
import { restoreTimes } from './times.ts';

const blockBytes = 128 * 1024;

interface Plan {
  readonly source: number;
  readonly sinks: readonly number[];
  readonly size: number;
  /** Blocks are compared before they are copied. */
  diff: boolean;
  /** What the source has no data for is looked at as all else; else sinks get holes there. */
  copiesHoles: boolean;
  /** Sources that need not be looked at, since they are as the source is. */
  readonly alike: readonly number[];
  /** Nobody is known to be whole: of each block the contents that most of these have count. Who is accused has no vote. */
  readonly voters: readonly number[];
  readonly matrix: Matrix;
}

export async function healData(context: HealContext, gfid: Gfid): Promise<HealResult> {
  const fd = new Fd(gfid, 0);
  try {
    return await healOpen(context, gfid, fd);
  } finally {
    fd.release();
  }
}

async function healOpen(context: HealContext, gfid: Gfid, fd: Fd): Promise<HealResult> {
  const { replica } = context;
  const call: Call = { ...replica.rootCall(), internal: 'self-heal' };
  const sole = new SoleHealer(replica);
  try {
    return await healWindows(context, gfid, fd, call, sole);
  } finally {
    await sole.end();
  }
}

async function healWindows(
  context: HealContext,
  gfid: Gfid,
  fd: Fd,
  call: Call,
  sole: SoleHealer,
): Promise<HealResult> {
  const { replica } = context;
  let plan: Plan | undefined;
  let offset = 0;
  for (;;) {
    // Once it is known that there is something to heal: else it would begin anew whenever a client gets in between.
    const lease = await replica.leases.acquire(gfid, call, plan ? 'wait' : context.patience);
    if ('errno' in lease) return notLocked(lease, 'cannot lock it for data heal');
    lease.recalled = true;
    try {
      if (!plan) {
        const first = await makePlan(context, lease, gfid, call);
        if ('state' in first) return first;
        plan = first;
        const isLong = plan.sinks.length > 0 && plan.size > context.windowBytes;
        if (isLong && !(await sole.begin(lease))) return { state: 'again' };
        const cut = await cutSinks(context, lease, plan, fd, call);
        if (cut) return cut;
      } else if (sole.isOver || !sameMarks(plan.matrix, lease.matrix, 'data')) return { state: 'again' };
      const next = await copyWindow(context, lease, plan, fd, call, offset);
      if (typeof next !== 'number') return { state: 'again' };
      offset = next;
      if (offset >= plan.size) return await finish(context, lease, plan, gfid, fd, call);
    } finally {
      replica.leases.done(lease);
      if (lease.users === 0) await lease.ended;
    }
  }
}

async function makePlan(context: HealContext, lease: Lease, gfid: Gfid, call: Call): Promise<Plan | HealResult> {
  const { set } = context.replica;
  const verdict = judge(lease.matrix, 'data', set);
  if (!verdict.pending && !context.full) return { state: 'clean' };
  if (verdict.isAlone) return waitsForTheOther;
  const replies = await context.replica.lookupAll(locOf(gfid), call, []);
  const holders = verdict.sources.filter(
    (child) => lease.holds.has(child) && set.holdsData(child) && successAt(replies, child),
  );
  if (holders.length === 0) {
    if (verdict.sources.length > 0) return { state: 'waiting', reason: 'the replicas that hold the data are down' };
    return {
      state: 'split-brain',
      kind: 'data',
      reason: `${gfid}: every replica is accused by another about its data`,
    };
  }
  // The heal of metadata has made their times alike meanwhile.
  const { before } = context;
  const source = newest(holders, before && holders.every((child) => successAt(before, child)) ? before : replies);
  const size = successAt(replies, source)!.iatt.size;
  // What a dirty one was told, a settled one may have been told as well, and have lost the mark with its machine but not the data.
  // Of several who are each accused by too few, all have what was acknowledged, and may differ in what was not.
  const inDoubt = verdict.isDisputed || lease.participants.some((child) => lease.matrix[child]!.dirty[0] !== 0);
  const sinks = lease.participants.filter(
    (child) =>
      child !== source &&
      set.holdsData(child) &&
      successAt(replies, child) &&
      (context.full || inDoubt || !holders.includes(child)),
  );
  const hadData = sinks.some((child) => successAt(replies, child)!.iatt.size > 0);
  const voters = (verdict.inDoubt || verdict.isDisputed) && sinks.length > 1 ? holders : [];
  const diff = voters.length > 0 || context.algorithm === 'diff' || (context.algorithm === 'auto' && hadData);
  // In doubt each is made like the source; one that could not be asked just now keeps its mark, and is looked at again.
  const alike = inDoubt ? [] : verdict.sources;
  // A hole of one that may have lost writes says nothing.
  const copiesHoles = voters.length > 0;
  return { source, sinks, size, diff, copiesHoles, alike, voters, matrix: lease.matrix };
}

async function cutSinks(
  context: HealContext,
  lease: Lease,
  plan: Plan,
  fd: Fd,
  call: Call,
): Promise<HealResult | undefined> {
  for (const sink of plan.sinks) {
    const reply = await context.replica.set.windOne(sink, 'ftruncate', call, {
      fd,
      size: plan.size,
      xdata: { fence: lease.fenceOf(sink), keepTimes: true },
    });
    if (!reply.ok) return { state: 'waiting', reason: `truncating it on child ${sink}: errno ${reply.errno}` };
  }
  return undefined;
}

/** Copies one window from `offset`; where the next begins. Holes of the source become holes. */
async function copyWindow(
  context: HealContext,
  lease: Lease,
  plan: Plan,
  fd: Fd,
  call: Call,
  offset: number,
): Promise<number | Failure> {
  if (plan.sinks.length === 0 || offset >= plan.size) return plan.size;
  const start = plan.copiesHoles ? offset : await nextData(context, plan, fd, call, offset);
  const punched = start > offset ? await punch(context, lease, plan, fd, call, offset, start) : undefined;
  if (punched?.errno === Errno.EOPNOTSUPP) {
    // The disk of a sink makes none: from here on the source's are compared as all else, and zeros written where the sink has something.
    plan.copiesHoles = plan.diff = true;
    return copyWindow(context, lease, plan, fd, call, offset);
  }
  if (punched) return punched;
  const end = Math.min(start + context.windowBytes, plan.size);
  const blocks: number[] = [];
  for (let at = start; at < end; at += blockBytes) blocks.push(at);
  const results = await Promise.all(
    blocks.map((at) => copyBlock(context, lease, plan, fd, call, at, Math.min(blockBytes, end - at))),
  );
  return results.find((result) => result !== undefined) ?? end;
}

/** Where the source has data again. */
async function nextData(context: HealContext, plan: Plan, fd: Fd, call: Call, offset: number): Promise<number> {
  const data = await context.replica.set.windOne(plan.source, 'seek', call, { fd, offset, what: 'data' });
  if (data.ok) return data.offset;
  return data.errno === Errno.ENXIO ? plan.size : offset;
}

async function punch(
  context: HealContext,
  lease: Lease,
  plan: Plan,
  fd: Fd,
  call: Call,
  from: number,
  to: number,
): Promise<Failure | undefined> {
  for (const sink of plan.sinks) {
    const reply = await context.replica.set.windOne(sink, 'discard', call, {
      fd,
      offset: from,
      size: to - from,
      xdata: { fence: lease.fenceOf(sink), keepTimes: true },
    });
    if (!reply.ok) return reply;
  }
  return undefined;
}

async function copyBlock(
  context: HealContext,
  lease: Lease,
  plan: Plan,
  fd: Fd,
  call: Call,
  offset: number,
  size: number,
): Promise<Failure | undefined> {
  const { set } = context.replica;
  const sides = plan.diff
    ? await differing(context, plan, fd, call, offset, size)
    : { right: plan.source, behind: plan.sinks };
  if ('errno' in sides) return sides;
  const { right, behind } = sides;
  if (behind.length === 0) return undefined;
  const read = await set.windOne(right, 'readv', call, { fd, size, offset });
  if (!read.ok) return read;
  if (read.data.length < size) return fail(Errno.EAGAIN);
  const written = await Promise.all(
    behind.map((sink: number) =>
      set.windOne(sink, 'writev', call, {
        fd,
        offset,
        data: read.data,
        xdata: { fence: lease.fenceOf(sink), keepTimes: true },
      }),
    ),
  );
  const failure = written.find((reply: Reply<'writev'>): reply is Failure => !reply.ok);
  return failure ?? (written.some((reply) => reply.ok && reply.written < size) ? fail(Errno.EAGAIN) : undefined);
}

/** Whose block is right, and who has another one. */
async function differing(
  context: HealContext,
  plan: Plan,
  fd: Fd,
  call: Call,
  offset: number,
  size: number,
): Promise<{ right: number; behind: readonly number[] } | Failure> {
  const children = [plan.source, ...plan.sinks];
  const sums = await context.replica.set.wind(children, 'rchecksum', call, () => ({ fd, offset, size }));
  const sumOf = (child: number): string | undefined => {
    const sum = sums[child];
    return sum?.ok ? `${sum.size} ${Buffer.from(sum.strong).toString('latin1')}` : undefined;
  };
  if (sumOf(plan.source) === undefined) return (sums[plan.source] as Failure | undefined) ?? fail(Errno.ENOTCONN);
  const { voters } = plan;
  const alike = (child: number) => voters.filter((other) => sumOf(other) === sumOf(child));
  // What was acknowledged is on all but those whose machine lost it.
  const common = voters.find((child) => sumOf(child) !== undefined && 2 * alike(child).length > voters.length);
  const right = common ?? plan.source;
  return { right, behind: children.filter((child) => sumOf(child) !== sumOf(right)) };
}

/** Durable first, the times as well, then the marks come off. */
async function finish(
  context: HealContext,
  lease: Lease,
  plan: Plan,
  gfid: Gfid,
  fd: Fd,
  call: Call,
): Promise<HealResult> {
  const { replica } = context;
  if (!(await restoreTimes(replica, lease, gfid, plan.source, plan.sinks))) return { state: 'again' };
  // Also on those it came from: their marks come off as well, and what they have may be in their memory only.
  if (replica.live.ensureDurability) {
    // Also those that died meanwhile, and take no part any more: they have not said that it is on their disks.
    const all = new Set([...lease.participants, plan.source, ...plan.sinks, ...plan.alike]);
    const holders = [...all].filter((child) => replica.set.holdsData(child));
    const synced = await replica.set.wind(holders, 'fsync', call, () => ({ fd, dataOnly: false }));
    if (holders.some((child) => !synced[child]?.ok)) return { state: 'again' };
  }
  const arbiter = replica.set.arbiter;
  const whole = [
    plan.source,
    ...plan.sinks,
    ...plan.alike,
    ...(arbiter !== undefined && lease.holds.has(arbiter) ? [arbiter] : []),
  ];
  if (!(await clearMarks(replica, lease, gfid, 'data', [...new Set(whole)], [plan.source, ...plan.alike])))
    return { state: 'again' };
  const { sources, sinks } = judge(lease.matrix, 'data', { arbiter });
  const missing = [...sources, ...sinks].filter((child) => !whole.includes(child));
  return missing.length === 0
    ? { state: 'healed' }
    : { state: 'waiting', reason: `children ${missing.join(', ')} that are to be healed are away or lack the file` };
}
