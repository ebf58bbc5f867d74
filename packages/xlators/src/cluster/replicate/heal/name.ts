/** Heals one name of a directory, under the directory's lease. */
import {
  type ByteString,
  type Call,
  Errno,
  FileType,
  type Gfid,
  type Iatt,
  type Loc,
  locAt,
  locOf,
  type Reply,
  rootGfid,
  statMode,
  type Xattrs,
} from '@mortar/core';
import { typeWithoutGfid } from '../adoption.ts';
import { changelogOf, dirtyKey } from '../changelog.ts';
import { judge } from '../judgement.ts';
import type { Lease } from '../lease.ts';
import { newbornMarks, newObjectBlame } from '../new-object.ts';
import type { Replica } from '../replica.ts';
import { type Replies, succeeded, successAt } from '../replica-set.ts';
import { type Candidate, choose } from '../split-brain.ts';
import { Parking } from './parking.ts';

export interface Truth {
  /** Whom this was found out about: without an answer of one of them nothing is known, least of all that a name is to go. */
  readonly participants: readonly number[];
  /** Children whose names are right; all participants where nobody is. */
  readonly sources: readonly number[];
  /** The sources may differ: what any of them has, all are given (conservative merge). */
  readonly merge: boolean;
  /** Some accuse the sources too: what they recorded is not all that differs. */
  readonly isDisputed: boolean;
  /** Who has all that was acknowledged, and perhaps more: right where names are of different files. */
  readonly believed: readonly number[];
  /** What the others have beyond the believed is kept (`Verdict.isHarmless`). */
  readonly keepsMore: boolean;
}

export type NameResult = 'same' | 'healed' | { mismatch: 'gfid' | 'type'; name: ByteString } | { failed: string };

/** Who is right about the names of a directory whose lease is held. */
export function truthOf(lease: Lease, verdict: ReturnType<typeof judge>): Truth {
  const sources = verdict.sources.filter((child) => lease.holds.has(child));
  const { isDisputed, isHarmless: keepsMore } = verdict;
  const merge = sources.length === 0 || verdict.inDoubt || verdict.sinks.length === 0 || keepsMore;
  // Whose word it rests on, and who left since the lease was got: nothing is known without them.
  const asked = keepsMore ? lease.matrix.map((_, child) => child) : sources.length === 0 ? verdict.sources : [];
  const participants = [...new Set([...lease.participants, ...asked])].sort((a, b) => a - b);
  // What is healed is done past the transactions that keep account of names.
  lease.names.forget();
  const right = sources.length === 0 || keepsMore ? participants : sources;
  return { participants, sources: right, merge, isDisputed, believed: sources, keepsMore };
}

/** For a lookup that met replicas which differ: heals the name at once. A text: what could not be healed. */
export async function healNameNow(
  replica: Replica,
  lease: Lease,
  parent: Gfid,
  name: ByteString,
): Promise<string | undefined> {
  const { set } = replica;
  const truth = truthOf(lease, judge(lease.matrix, 'entry', set));
  const result = await new NameHeal(replica, lease, parent, truth, () => {}).heal(name);
  if (typeof result !== 'object') return undefined;
  return 'failed' in result ? result.failed : `the replicas have different files of this name (${result.mismatch})`;
}

/** Where an object is made, and with which marks. */
interface Place {
  readonly loc: Loc;
  readonly initial: Xattrs;
  readonly xdata: { fence: number };
}

export class NameHeal {
  readonly #replica: Replica;
  readonly #lease: Lease;
  readonly #parent: Gfid;
  readonly #truth: Truth;
  readonly #call: Call;
  /** Called with each object that was made: its contents are still to be healed. */
  readonly #found: (gfid: Gfid) => void;
  readonly #parking: Parking | undefined;
  /** Which of different files of one name wins; undefined: nobody may say. `all`: also the copies that cannot win. */
  readonly #choose: (candidates: readonly Candidate[], all: readonly Candidate[]) => number | undefined;

  constructor(
    replica: Replica,
    lease: Lease,
    parent: Gfid,
    truth: Truth,
    found: (gfid: Gfid) => void,
    decide?: (candidates: readonly Candidate[]) => number | undefined,
  ) {
    this.#replica = replica;
    this.#lease = lease;
    this.#parent = parent;
    this.#truth = truth;
    this.#call = { ...replica.rootCall(), internal: 'self-heal' };
    this.#found = found;
    this.#parking = Parking.of(replica);
    this.#choose = decide ?? ((copies, all) => this.#settle(copies, all));
  }

  async heal(name: ByteString): Promise<NameResult> {
    const { set } = this.#replica;
    const { participants } = this.#truth;
    const asked = participants.filter((child) => this.#lease.holds.has(child));
    const want = this.#replica.changelogKeys;
    const replies = await set.wind(asked, 'lookup', this.#call, () => ({ loc: locAt(this.#parent, name), want }));
    const unnumbered = participants.filter((child) => typeWithoutGfid(replies[child]) !== undefined);
    const isTold = (child: number) =>
      replies[child]?.ok || isMissing(replies, child) || (unnumbered.includes(child) && succeeded(replies).length > 0);
    const unsure = participants.find((child) => !isTold(child));
    if (unsure !== undefined) return { failed: `${name} cannot be looked up on child ${unsure}` };
    const present = succeeded(replies);
    const having = present.filter((child) => this.#truth.sources.includes(child));
    const iattOf = (child: number) => successAt(replies, child)!.iatt;
    const differ = new Set(having.map((child) => iattOf(child).gfid)).size > 1;
    const copiesOf = (children: readonly number[]) => children.map((child) => ({ child, iatt: iattOf(child) }));
    const right = differ ? this.#choose(copiesOf(having), copiesOf(present)) : having[0];
    // Those who are right have none of these: none was acknowledged.
    if (differ && right === undefined && this.#truth.keepsMore && !this.#isBelieved(having))
      return this.#removeFrom(present, name, iattOf);
    if (differ && right === undefined) return { mismatch: 'gfid', name };
    if (right === undefined && unnumbered.length > 0)
      return { failed: `${name} has no gfid on child ${unnumbered[0]}, and nobody who is right has one for it` };
    if (right === undefined) return this.#removeFrom(present, name, iattOf);
    const truly = iattOf(right);
    if (unnumbered.some((child) => typeWithoutGfid(replies[child]) !== truly.type)) return { mismatch: 'type', name };
    if (!differ && this.#truth.merge && having.some((child) => iattOf(child).type !== truly.type))
      return { mismatch: 'type', name };
    const owners = having.filter((child) => iattOf(child).gfid === truly.gfid);
    // A directory has one name. In doubt it is the one that a quorum has.
    const alike = present.filter((child) => iattOf(child).gfid === truly.gfid);
    const isCertain = this.#truth.keepsMore ? this.#isBelieved(alike) : set.suffices(alike);
    const inDoubt = truly.type === FileType.directory && this.#truth.merge && !isCertain;
    if (inDoubt && (await this.#isElsewhere(truly.gfid, alike)))
      return (await this.#giveUpName(name, truly, alike)) ?? 'healed';
    let result: NameResult = 'same';
    for (const child of participants) {
      const mine = present.includes(child) ? iattOf(child) : undefined;
      if (mine?.gfid === truly.gfid) continue;
      const failed = unnumbered.includes(child)
        ? await this.#number(child, name, truly, owners, replies)
        : (mine && (await this.#remove(child, name, mine))) || (await this.#make(child, name, truly, owners, replies));
      if (failed) return failed;
      result = 'healed';
    }
    return result;
  }

  /**
   * What is acknowledged is on those that are believed, and on a majority if it takes one; else a policy says. Where those differ, what they
   * differ about was not acknowledged to all of them, and an accused one may tell which of it was there before.
   */
  #settle(copies: readonly Candidate[], all: readonly Candidate[]): number | undefined {
    const alike = (one: Candidate, among: readonly Candidate[]) =>
      among.filter(({ iatt }) => iatt.gfid === one.iatt.gfid).length;
    const believed = copies.filter(({ child }) => this.#truth.believed.includes(child));
    if (believed.length > 0 && alike(believed[0]!, believed) === believed.length) return believed[0]!.child;
    const { set } = this.#replica;
    const common = set.majorityDecides ? copies.find((one) => 2 * alike(one, all) > set.count) : undefined;
    return common?.child ?? choose(this.#replica.live.policy, copies);
  }

  #isBelieved(having: readonly number[]): boolean {
    return having.some((child) => this.#truth.believed.includes(child));
  }

  async #removeFrom(
    children: readonly number[],
    name: ByteString,
    iattOf: (child: number) => Iatt,
  ): Promise<NameResult> {
    for (const child of children) {
      const failed = await this.#remove(child, name, iattOf(child));
      if (failed) return failed;
    }
    return children.length > 0 ? 'healed' : 'same';
  }

  async #remove(child: number, name: ByteString, iatt: Iatt): Promise<NameResult | undefined> {
    const { set } = this.#replica;
    const loc = locAt(this.#parent, name, iatt.gfid);
    // Its last name: the object may be about to get another one.
    const isLast = iatt.type === FileType.directory || iatt.nlink <= 1;
    const xdata = { fence: this.#lease.fenceOf(child) };
    if (isLast && (await this.#parking?.park(child, loc, iatt.gfid, xdata))) return undefined;
    const reply =
      iatt.type === FileType.directory
        ? await set.windOne(child, 'rmdir', this.#call, { loc, recursive: true, xdata })
        : await set.windOne(child, 'unlink', this.#call, { loc, xdata });
    if (reply.ok || reply.errno === Errno.ENOENT) return undefined;
    return { failed: `${name} cannot be removed from child ${child}: errno ${reply.errno}` };
  }

  /** First the blame on those that have it, then the object: at no time is it there, empty and unmarked. */
  async #make(
    child: number,
    name: ByteString,
    iatt: Iatt,
    having: readonly number[],
    replies: Replies<'lookup'>,
  ): Promise<NameResult | undefined> {
    const { set } = this.#replica;
    const loc = locAt(this.#parent, name);
    const xdata = { fence: this.#lease.fenceOf(child) };
    const existing = await set.windOne(child, 'lookup', this.#call, { loc: locOf(iatt.gfid) });
    const isNameless = existing.ok && existing.iatt.nlink === 0;
    if (existing.ok && (await this.#parking?.fetch(child, iatt.gfid, loc, xdata))) return undefined;
    if (existing.ok && !isNameless && iatt.type !== FileType.directory) {
      const linked = await set.windOne(child, 'link', this.#call, { from: locOf(iatt.gfid), to: loc, xdata });
      if (linked.ok || linked.errno === Errno.EEXIST) return undefined;
      return { failed: `${name} cannot be linked on child ${child}: errno ${linked.errno}` };
    }
    if (existing.ok && !isNameless) return this.#moveDirectory(child, name, iatt);
    const unmarked = await this.#mark(child, name, iatt, having, replies);
    if (unmarked) return unmarked;
    const place = { loc, initial: this.#newbornMarks(child, iatt, having, replies), xdata };
    const reply = isNameless
      ? await this.#revive(child, iatt.gfid, place)
      : await this.#makeObject(child, place, iatt, having[0]!);
    if (!reply.ok) return { failed: `${name} cannot be made on child ${child}: errno ${reply.errno}` };
    this.#found(iatt.gfid);
    return undefined;
  }

  /** What is there was not made to its end, or by hand: it gets its gfid, and the contents are healed. */
  async #number(
    child: number,
    name: ByteString,
    iatt: Iatt,
    having: readonly number[],
    replies: Replies<'lookup'>,
  ): Promise<NameResult | undefined> {
    const unmarked = await this.#mark(child, name, iatt, having, replies);
    if (unmarked) return unmarked;
    const loc = locAt(this.#parent, name);
    const { set } = this.#replica;
    const numbered = await set.windOne(child, 'lookup', this.#call, { loc, gfid: iatt.gfid });
    const values = this.#newbornMarks(child, iatt, having, replies);
    const mark = { loc: locOf(iatt.gfid), operation: 'add32' as const, values };
    const isUnmarked = Object.keys(values).length === 0;
    const reply = numbered.ok && !isUnmarked ? await set.windOne(child, 'xattrop', this.#call, mark) : numbered;
    if (!reply.ok) return { failed: `${name} cannot be given its gfid on child ${child}: errno ${reply.errno}` };
    this.#found(iatt.gfid);
    return undefined;
  }

  #newbornMarks(child: number, iatt: Iatt, having: readonly number[], replies: Replies<'lookup'>): Xattrs {
    const { pendingKeys } = this.#replica.set;
    const logOf = (owner: number) => changelogOf(successAt(replies, owner)!.xattrs, pendingKeys);
    const owners = new Map(having.map((owner) => [owner, logOf(owner)]));
    return newbornMarks(this.#replica, iatt.type, child, owners);
  }

  /** Those that have it blame a child that is about to get it, empty. */
  async #mark(
    child: number,
    name: ByteString,
    iatt: Iatt,
    having: readonly number[],
    replies: Replies<'lookup'>,
  ): Promise<NameResult | undefined> {
    const { set } = this.#replica;
    const values = newObjectBlame(this.#replica, iatt.type, [child]);
    // Who was there when it was made has it marked since then.
    const isMarked = (owner: number) => {
      const { blames } = changelogOf(successAt(replies, owner)!.xattrs, set.pendingKeys);
      const wanted = changelogOf(values, set.pendingKeys).blames[child]!;
      return wanted.every((count, kind) => count === 0 || blames[child]![kind] !== 0);
    };
    if (Object.keys(values).length > 0 && !having.every(isMarked)) {
      const mark = { loc: locOf(iatt.gfid), operation: 'add32' as const, values };
      const marked = await set.wind(having, 'xattrop', this.#call, () => mark);
      if (succeeded(marked).length === 0) return { failed: `${name} cannot be marked for healing` };
    }
    return undefined;
  }

  /** A client has it open still: its descriptor shall be of the file, not of one beside it. What it says of others is void. */
  async #revive(child: number, gfid: Gfid, { loc, initial, xdata }: Place): Promise<Reply<'flush'>> {
    const { set } = this.#replica;
    for (const name of [...set.pendingKeys, dirtyKey].filter((key) => !initial[key])) {
      const cleared = await set.windOne(child, 'removexattr', this.#call, { loc: locOf(gfid), name });
      if (!cleared.ok && cleared.errno !== Errno.ENODATA) return cleared;
    }
    if (Object.keys(initial).length > 0) {
      const marked = await set.windOne(child, 'setxattr', this.#call, { loc: locOf(gfid), xattrs: initial, flags: 0 });
      if (!marked.ok) return marked;
    }
    return set.windOne(child, 'link', this.#call, { from: locOf(gfid), to: loc, xdata: { ...xdata, nameless: true } });
  }

  /** A directory that was renamed while the child was away has its old name there still. */
  async #moveDirectory(child: number, name: ByteString, { gfid }: Iatt): Promise<NameResult | undefined> {
    const { set, leases } = this.#replica;
    const from = await locate(this.#replica, child, gfid, this.#call);
    if (!from) return { failed: `${name} is the directory ${gfid}, whose old name on child ${child} cannot be found` };
    const old = from.parent === this.#parent ? this.#lease : await leases.acquire(from.parent!, this.#call, 'try');
    if ('errno' in old) return { failed: `${name}: the directory of its old name is in use` };
    try {
      const to = locAt(this.#parent, name);
      const xdata = { fence: this.#lease.fenceOf(child) };
      const moved = await set.windOne(child, 'rename', this.#call, { from, to, flags: 0, xdata });
      return moved.ok ? undefined : { failed: `${name} cannot be moved on child ${child}: errno ${moved.errno}` };
    } finally {
      if (old !== this.#lease) leases.done(old);
    }
  }

  /** Whether a child that lacks the name and may be right has the directory under another one. */
  async #isElsewhere(gfid: Gfid, having: readonly number[]): Promise<boolean> {
    const { set } = this.#replica;
    const others = this.#truth.sources.filter((child) => !having.includes(child));
    const found = succeeded(await set.wind(others, 'lookup', this.#call, () => ({ loc: locOf(gfid) })));
    const parked = await Promise.all(found.map(async (child) => (await this.#parking?.holds(child, gfid)) ?? false));
    return parked.includes(false);
  }

  async #giveUpName(name: ByteString, iatt: Iatt, having: readonly number[]): Promise<NameResult | undefined> {
    for (const child of having) {
      const failed = await this.#remove(child, name, iatt);
      if (failed) return failed;
    }
    return undefined;
  }

  async #makeObject(
    child: number,
    { loc, initial, xdata }: Place,
    iatt: Iatt,
    source: number,
  ): Promise<Reply<'flush'>> {
    const { set } = this.#replica;
    const { gfid, mode, uid, gid, rdevMajor, rdevMinor } = iatt;
    const call = { ...this.#call, uid, gid };
    if (iatt.type === FileType.directory) return set.windOne(child, 'mkdir', call, { loc, mode, gfid, initial, xdata });
    if (iatt.type !== FileType.symlink)
      return set.windOne(child, 'mknod', call, {
        loc,
        mode: statMode(iatt),
        rdevMajor,
        rdevMinor,
        gfid,
        initial,
        xdata,
      });
    const link = await set.windOne(source, 'readlink', this.#call, { loc: locOf(gfid) });
    return link.ok ? set.windOne(child, 'symlink', call, { loc, target: link.target, gfid, initial, xdata }) : link;
  }
}

const ancestryKey = 'glusterfs.ancestry.path';

/** Under which name a directory is on one child. */
async function locate(replica: Replica, child: number, gfid: Gfid, call: Call): Promise<Loc | undefined> {
  const asked = await replica.set.windOne(child, 'getxattr', call, { loc: locOf(gfid), name: ancestryKey });
  const value = asked.ok ? asked.xattrs[ancestryKey] : undefined;
  if (!value) return undefined;
  const names = Buffer.from(value)
    .toString('latin1')
    .replace(/\0.*$/s, '')
    .split('/')
    .filter((part) => part !== '');
  let at: Loc | undefined;
  for (const name of names) {
    const parent = at ? at.gfid! : rootGfid;
    const found = await replica.set.windOne(child, 'lookup', call, { loc: locAt(parent, name) });
    if (!found.ok) return undefined;
    at = locAt(parent, name, found.iatt.gfid);
  }
  return at?.gfid === gfid ? at : undefined;
}

function isMissing(replies: Replies<'lookup'>, child: number): boolean {
  const reply = replies[child];
  return reply !== undefined && !reply.ok && reply.errno === Errno.ENOENT;
}
