/** Entry heal: the names of a directory. Adds and removes on the sinks what the sources have and lack. */
import { type ByteString, type Call, Fd, type Gfid, locOf } from '@mortar/core';
import { isNewborn, type Matrix, type Vector } from '../changelog.ts';
import { judge, type Rules, type Verdict } from '../judgement.ts';
import type { Lease } from '../lease.ts';
import { clearMarks } from './marks.ts';
import { NameHeal, type NameResult, type Truth, truthOf } from './name.ts';
import { type HealContext, type HealResult, notLocked, sameMarks, waitsForTheOther } from './result.ts';
import { SoleHealer } from './sole-healer.ts';
import { restoreTimes } from './times.ts';

/** Names healed under one lease; clients get in between. */
const batchLength = 64;
const pageBytes = 64 * 1024;

export async function healEntries(context: HealContext, gfid: Gfid): Promise<HealResult> {
  const sole = new SoleHealer(context.replica);
  try {
    return await healBatches(context, gfid, sole);
  } finally {
    await sole.end();
  }
}

async function healBatches(context: HealContext, gfid: Gfid, sole: SoleHealer): Promise<HealResult> {
  const { replica } = context;
  const call: Call = { ...replica.rootCall(), internal: 'self-heal' };
  let names: ByteString[] | undefined;
  let first: Lease | undefined;
  const trouble: Exclude<NameResult, 'same' | 'healed'>[] = [];
  for (;;) {
    // As for data: what was begun is gone on with.
    const lease = await replica.leases.acquire(gfid, call, first ? 'wait' : context.patience);
    if ('errno' in lease) return notLocked(lease, 'cannot lock the directory for entry heal');
    lease.recalled = true;
    try {
      const verdict = verdictOf(lease.matrix, replica.set);
      if (!verdict.pending && !context.full) return { state: 'clean' };
      if (verdict.isAlone) return waitsForTheOther;
      if (first && (sole.isOver || !sameMarks(first.matrix, lease.matrix, 'entry'))) return { state: 'again' };
      const truth = truthOf(lease, verdict);
      names ??= await namesToHeal(context, lease, gfid, truth, call);
      if (!names) return { state: 'again' };
      if (!first && names.length > batchLength && !(await sole.begin(lease))) return { state: 'again' };
      first ??= lease;
      const nameHeal = new NameHeal(replica, lease, gfid, truth, context.found);
      for (const name of names.splice(0, batchLength)) {
        const result = await nameHeal.heal(name);
        if (typeof result === 'object') trouble.push(result);
      }
      if (names.length === 0) return await finish(context, lease, gfid, trouble);
    } finally {
      replica.leases.done(lease);
      if (lease.users === 0) await lease.ended;
    }
  }
}

/** A directory's data counter says that any name may be missing: it accuses as the entry counter does. */
function verdictOf(matrix: Matrix, rules: Rules): Verdict {
  const accusing = ([data, metadata, entry]: Vector): Vector => [data, metadata, entry === 0 ? data : entry];
  return judge(
    matrix.map((log) => log && { blames: log.blames.map(accusing), dirty: log.dirty }),
    'entry',
    rules,
  );
}

/** The recorded names when every source recorded them and no brick needs everything; else all names of all. */
async function namesToHeal(
  context: HealContext,
  lease: Lease,
  gfid: Gfid,
  truth: Truth,
  call: Call,
): Promise<ByteString[] | undefined> {
  const granular =
    context.full || truth.merge || truth.isDisputed ? undefined : await recordedNames(context, lease, gfid, truth);
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
  const isBlamed = (child: number) => truth.sources.some((source) => lease.matrix[source]!.blames[child]![2] !== 0);
  // What one that is dirty did beyond the others is recorded nowhere.
  const mayHaveMore = (child: number) => !isBlamed(child) || lease.matrix[child]!.dirty[2] !== 0;
  if (lease.participants.some((child) => !truth.sources.includes(child) && mayHaveMore(child))) return undefined;
  // The data counter: everything in it is missing, as where it was made anew. Whoever says so may be the only one that knows of it.
  const isAny = (child: number) => lease.matrix[child]!.blames.some((vector) => vector[0] !== 0);
  if (lease.participants.some((child) => isAny(child) || isNewborn(lease.matrix, child, 'entry'))) return undefined;
  for (const source of truth.sources) {
    const log = lease.matrix[source]!;
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
  const verdict = verdictOf(lease.matrix, replica.set);
  const source = verdict.sources.find((child) => lease.holds.has(child));
  const changed = verdict.sinks.filter((child) => lease.holds.has(child));
  // While the marks are there: nobody would come back for them.
  if (source !== undefined && !(await restoreTimes(replica, lease, gfid, source, changed))) return { state: 'again' };
  if (!(await clearMarks(replica, lease, gfid, 'entry', lease.participants, verdict.sources)))
    return { state: 'again' };
  await clearNewMark(context, lease, gfid);
  const absent = verdict.sinks.filter((sink) => !lease.holds.has(sink));
  if (absent.length > 0)
    return { state: 'waiting', reason: `children ${absent.join(', ')} that are to be healed are away` };
  for (const child of lease.participants) await context.index.forgetParent(child, gfid);
  return { state: verdict.pending ? 'healed' : 'clean' };
}

/** The mark "everything in it is missing" of a new directory. */
async function clearNewMark(context: HealContext, lease: Lease, gfid: Gfid): Promise<void> {
  if (judge(lease.matrix, 'data').pending)
    await clearMarks(context.replica, lease, gfid, 'data', lease.participants, []);
}
