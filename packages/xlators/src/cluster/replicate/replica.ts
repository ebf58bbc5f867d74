/** What the parts of replicate share: the set, what is known of files, leases and transactions; and reading. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  FileType,
  type FopName,
  fail,
  type Gfid,
  type Iatt,
  type Loc,
  locOf,
  type Reply,
  rootCall,
  type Services,
  type Success,
  type Xattrs,
} from '@mortar/core';
import { withMovedAgo } from '../../lib/departures.ts';
import { lookupGivingGfid } from './adoption.ts';
import { changelogOf, dirtyKey, isZero, type Kind, kinds, type Matrix } from './changelog.ts';
import { HeldLocks } from './held-locks.ts';
import { type InodeContext, InodeContexts } from './inode-context.ts';
import { readable } from './judgement.ts';
import { Leases } from './leases.ts';
import { isAbsence, isFault, type ReplicaSet, type Replies, successAt } from './replica-set.ts';
import { type Policy, settleByPolicy } from './split-brain.ts';
import { mergedIatt, type Right } from './told.ts';
import { Transactions } from './transaction.ts';

/** The options that may change while it runs. */
export interface LiveOptions {
  eagerLock: boolean;
  /** How long an idle lease is kept: exactly, or at most. */
  idle: { readonly mostMs: number; readonly isFixed: boolean };
  ensureDurability: boolean;
  granular: boolean;
  readHashMode: number;
  readChild: number;
  /** Reads are for children of this machine, if there are some. */
  chooseLocal: boolean;
  /** How a split-brain is decided without asking. */
  policy: Policy;
  /** The volume's id when heal parks objects that lost their name. */
  parkingFor: Gfid | undefined;
}

/** When something was asked: what was known then of who is up, and who was doubted. */
export interface Asked {
  readonly generation: number;
  readonly doubts: number;
}

/** What is read of a file that is doubted meanwhile is read again, so often. */
export const attemptsMax = 4;

export class Replica {
  readonly name: string;
  readonly services: Services;
  readonly set: ReplicaSet;
  readonly contexts: InodeContexts;
  readonly leases: Leases;
  readonly transactions: Transactions;
  readonly heldLocks: HeldLocks;
  live: LiveOptions;
  /** Where fds and inodes keep what replicate knows of them. */
  readonly slot: number;
  readonly #ownerPrefix: string;
  #owners = 0;

  constructor(name: string, services: Services, slot: number, set: ReplicaSet, live: LiveOptions) {
    this.name = name;
    this.services = services;
    this.set = set;
    this.live = live;
    this.slot = slot;
    this.contexts = new InodeContexts(services.inodes, slot);
    this.heldLocks = new HeldLocks(set, services.clock, (text) => this.warn(text));
    this.#ownerPrefix = Buffer.from(services.random.bytes(8)).toString('hex');
    const self = this;
    this.leases = new Leases({
      set,
      contexts: this.contexts,
      domain: name,
      get idle() {
        return self.live.idle;
      },
      get ensureDurability() {
        return self.live.ensureDurability;
      },
      rootCall: () => this.rootCall(),
      clock: services.clock,
      nextOwner: () => this.nextOwner(),
      warn: (text) => this.warn(text),
    });
    this.transactions = new Transactions({
      set,
      leases: this.leases,
      contexts: this.contexts,
      clock: services.clock,
      get granular() {
        return self.live.granular;
      },
      get ensureDurability() {
        return self.live.ensureDurability;
      },
      rightAbout: (gfid) => this.rightAbout(gfid),
      warn: (text) => this.warn(text),
    });
  }

  /** A lock owner that no other lease, client or heal has. */
  nextOwner(): string {
    return this.#ownerPrefix + (++this.#owners).toString(16).padStart(12, '0');
  }

  rootCall(): Call {
    return rootCall(this.services.clock);
  }

  warn(text: string): void {
    this.services.log.write('WARNING', this.name, text);
  }

  /** The xattrs to ask for with every lookup. */
  get changelogKeys(): string[] {
    return [dirtyKey, ...this.set.pendingKeys];
  }

  get asked(): Asked {
    return { generation: this.set.generation, doubts: this.contexts.doubts };
  }

  /** Learns from lookup replies (all of one gfid) which children may be read. */
  learn(gfid: Gfid, replies: Replies<'lookup'>, asked: Asked): InodeContext {
    const context = this.contexts.of(gfid);
    const matrix: Matrix = replies.map((reply) =>
      reply?.ok ? changelogOf(reply.xattrs, this.set.pendingKeys) : undefined,
    );
    // Who left our lease may be blamed only when it ends. Of one that all have left nobody changes anything: the marks say it all.
    const holds = context.lease?.holds;
    const exclude = holds && holds.size > 0 ? this.set.children.flatMap((_, i) => (holds.has(i) ? [] : [i])) : [];
    for (const kind of kinds)
      context.readable[kind] = readable(matrix, kind, this.set.arbiter).filter((child) => !exclude.includes(child));
    context.present = replies.flatMap((reply, i) => (reply?.ok ? [i] : []));
    context.generation = this.contexts.isDoubted(gfid, asked.doubts) ? 0 : asked.generation;
    const type = context.present.length > 0 ? successAt(replies, context.present[0]!)!.iatt.type : undefined;
    if (type !== undefined) this.contexts.inode(gfid).type = type;
    return context;
  }

  /** A new file that exists on `children` alike. */
  learnNew(gfid: Gfid, type: FileType, children: readonly number[]): void {
    const context = this.contexts.of(gfid);
    this.contexts.inode(gfid).type = type;
    context.generation = this.set.generation;
    context.present = children;
    for (const kind of kinds) context.readable[kind] = children;
  }

  /** What is known of a file, looked up anew if children came or went since. */
  async context(gfid: Gfid, call: Call): Promise<InodeContext | Failure> {
    const known = this.contexts.find(gfid);
    if (known && known.generation === this.set.generation) return known;
    return this.refresh(gfid, call);
  }

  /** Whether these children are enough to tell what is: fewer may lack what was acknowledged. Who heals looks at each by itself. */
  mayRead({ internal }: Call, children: readonly number[]): boolean {
    return internal === 'self-heal' || internal === 'glfs-heal' || this.set.suffices(children);
  }

  /** What the replicas say of a file now. */
  async refresh(gfid: Gfid, call: Call): Promise<InodeContext | Failure> {
    for (let attempt = 1; ; attempt++) {
      const { asked } = this;
      const replies = await this.lookupAll(locOf(gfid), call, []);
      const found = replies.some((reply) => reply?.ok);
      if (!found) return lookupFailure(replies);
      if (!this.mayRead(call, answering(replies))) return fail(Errno.ENOTCONN);
      const context = this.learn(gfid, replies, asked);
      if (attempt === attemptsMax || !this.contexts.isDoubted(gfid, asked.doubts)) return context;
    }
  }

  /** `gfid`: for objects that have none yet, if it may be given to them; `layout`: what the caller believes of the directory. */
  lookupAll(
    loc: Loc,
    call: Call,
    want: readonly string[],
    { gfid, layout }: { gfid?: Gfid | undefined; layout?: string | undefined } = {},
  ): Promise<Replies<'lookup'>> {
    const args: Args<'lookup'> = {
      loc,
      want: [...want, ...this.changelogKeys],
      ...(layout !== undefined && { xdata: { layout } }),
    };
    if (gfid) return lookupGivingGfid(this.set, call, { ...args, gfid });
    return this.set.wind(this.set.up, 'lookup', call, () => args);
  }

  /** Children to read from, best first; empty: none may be read. */
  readers(gfid: Gfid, kind: Kind, context: InodeContext): number[] {
    const usable = (children: readonly number[]) =>
      children.filter((child) => this.set.isUp(child) && (kind !== 'data' || this.set.holdsData(child)));
    const clean = usable(context.readable[kind]);
    if (clean.length === 0 && context.choice !== undefined) return usable([context.choice]);
    return this.#preferred(gfid, clean);
  }

  /** The same for who is to be served: contents are nobody's while it is not known who owns them and who may read them. */
  servers(gfid: Gfid, kind: Kind, context: InodeContext): number[] {
    if (this.#isArbitersAlone(gfid, context)) return [];
    const readers = this.readers(gfid, kind, context);
    if (kind !== 'data') return readers;
    const { metadata } = context.readable;
    if (metadata.length === 0) return context.choice === undefined ? [] : readers;
    // Who has the attributes right comes first: contents come with them.
    const isRight = (child: number) => metadata.includes(child);
    if (readers.every(isRight)) return readers;
    return [...readers.filter(isRight), ...readers.filter((child) => !isRight(child))];
  }

  /** Of a file whose data only an arbiter is right about, which has none, nothing is told and nothing changed, as in GlusterFS. */
  #isArbitersAlone(gfid: Gfid, context: InodeContext): boolean {
    const { arbiter } = this.set;
    if (arbiter === undefined || this.contexts.inode(gfid).type !== FileType.regular) return false;
    const clean = context.readable.data.filter((child) => this.set.isUp(child));
    return context.choice === undefined && clean.length === 1 && clean[0] === arbiter;
  }

  /** Those on this machine; all, if that makes no difference. */
  #near(children: number[]): number[] {
    const { localChildren } = this.set;
    if (!this.live.chooseLocal || localChildren.size === 0) return children;
    const near = children.filter((child) => localChildren.has(child));
    return near.length > 0 ? near : children;
  }

  /** Turns the list so that the preferred child stands first. */
  #preferred(gfid: Gfid, children: number[]): number[] {
    if (children.length < 2) return children;
    const { readChild, readHashMode } = this.live;
    const near = readChild < 0 ? this.#near(children) : children;
    if (near.length < children.length) {
      const others = children.filter((child) => !near.includes(child));
      return [...this.#preferred(gfid, near), ...this.#preferred(gfid, others)];
    }
    let first = children.indexOf(readChild);
    if (first < 0) first = readHashMode === 0 ? 0 : Number.parseInt(gfid.slice(-6), 16) % children.length;
    return [...children.slice(first), ...children.slice(0, first)];
  }

  /** Children to read from, at least one. What was known is not the last word: before EIO the replicas are asked anew. */
  async cleanChildren(gfid: Gfid, kind: Kind, call: Call): Promise<readonly number[] | Failure> {
    if (!this.mayRead(call, this.set.up)) return fail(Errno.ENOTCONN);
    const known = await this.context(gfid, call);
    if ('errno' in known) return known;
    const readers = this.servers(gfid, kind, known);
    if (readers.length > 0) return readers;
    if (this.set.up.length === 0) return fail(Errno.ENOTCONN);
    const ask = async () => {
      const fresh = await this.refresh(gfid, call);
      return 'errno' in fresh ? fresh : this.servers(gfid, kind, fresh);
    };
    let asked = await ask();
    if (!('errno' in asked) && asked.length === 0 && (await settleByPolicy(this, gfid))) asked = await ask();
    if ('errno' in asked || asked.length > 0) return asked;
    if (this.#isArbitersAlone(gfid, this.contexts.of(gfid))) return fail(Errno.ENOTCONN);
    const what = kind === 'data' ? 'data and metadata' : kind;
    this.warn(`${gfid}: no replica is clean of ${what}; ${await this.accusations(gfid, call)}`);
    return fail(Errno.EIO);
  }

  /** Who accuses whom of what, for a person. */
  async accusations(gfid: Gfid, call: Call): Promise<string> {
    const replies = await this.lookupAll(locOf(gfid), call, []);
    const lines = replies.flatMap((reply, i) => {
      if (!reply?.ok) return [`child ${i} ${reply ? `answers errno ${reply.errno}` : 'is down'}`];
      const { blames, dirty } = changelogOf(reply.xattrs, this.set.pendingKeys);
      const said = blames.flatMap((vector, j) =>
        isZero(vector) ? [] : [`child ${i} accuses child ${j} (${vector.join(' ')})`],
      );
      return isZero(dirty) ? said : [...said, `child ${i} has open transactions (${dirty.join(' ')})`];
    });
    return lines.length > 0 ? lines.join(', ') : 'nobody accuses anybody';
  }

  /** Runs what reads a file, again if somebody says meanwhile that a replica missed something: it may have been that one. */
  async undoubted<R extends { ok: boolean }>(gfid: Gfid, run: () => Promise<R>): Promise<R> {
    for (let attempt = 1; ; attempt++) {
      const { doubts } = this.contexts;
      const reply = await run();
      if (!reply.ok || attempt === attemptsMax || !this.contexts.isDoubted(gfid, doubts)) return reply;
    }
  }

  /** Reads from one clean child; from the next where that cannot serve. `completed`: what the caller gets of what a child said. */
  read<N extends FopName>(
    gfid: Gfid,
    kind: Kind,
    fop: N,
    call: Call,
    args: Args<N>,
    completed: (child: number, reply: Success<N>) => Reply<N> | Promise<Reply<N>> = (_child, reply) => reply,
  ): Promise<Reply<N>> {
    return this.undoubted(gfid, async () => {
      const readers = await this.cleanChildren(gfid, kind, call);
      if ('errno' in readers) return readers;
      let reply: Reply<N> = fail(Errno.ENOTCONN);
      for (const [i, child] of readers.entries()) {
        const isLast = i === readers.length - 1;
        reply = await (isLast ? this.set.windOne(child, fop, call, args) : this.set.ask(child, fop, call, args));
        if (reply.ok) return completed(child, reply as Success<N>);
        if (!isFault((reply as Failure).errno)) return reply;
      }
      return reply;
    });
  }

  /** What the size and the times of change speak of: of a directory, its names. */
  contentsOf(gfid: Gfid): Kind {
    return this.contexts.inode(gfid).type === FileType.directory ? 'entry' : 'data';
  }

  /** Who may be read about a file, as far as is known now; undefined: that was of before somebody came, went or was doubted. */
  rightAbout(gfid: Gfid): Right | undefined {
    const context = this.contexts.find(gfid);
    if (context?.generation !== this.set.generation) return undefined;
    return {
      contents: this.readers(gfid, this.contentsOf(gfid), context),
      metadata: this.readers(gfid, 'metadata', context),
    };
  }

  /**
   * Attributes from replies of several children: each part from one that may be read for it. With no clean copy of a part some
   * copy's is shown, never an arbiter's size: it has none.
   */
  mergeIatt(gfid: Gfid, context: InodeContext, iattOf: (child: number) => Iatt | undefined): Iatt | undefined {
    const having = (children: readonly number[]) => children.filter((child) => iattOf(child) !== undefined);
    const orElse = (clean: readonly number[], some: readonly number[]) => (clean.length > 0 ? clean : some.slice(0, 1));
    const present = having(context.present);
    const holders = present.filter((child) => this.set.holdsData(child));
    const metadata = orElse(having(this.readers(gfid, 'metadata', context)), present);
    const contents = orElse(having(this.readers(gfid, this.contentsOf(gfid), context)), holders);
    return mergedIatt({ metadata, contents }, iattOf) ?? iattOf(metadata[0] ?? -1);
  }
}

/** xattrs that are replicate's own and never shown. */
export function isOwnXattr(name: string): boolean {
  return name.startsWith('trusted.afr.');
}

export function withoutOwn(xattrs: Xattrs): Xattrs {
  return Object.fromEntries(Object.entries(xattrs).filter(([name]) => !isOwnXattr(name)));
}

/**
 * No child has it: ENOENT if any says so, else that nobody could be asked. ESTALE comes from those that do not have the directory
 * of the name: one that is yet to be healed lacks it, and says nothing of the name by that.
 */
export function lookupFailure(replies: Replies<'lookup'>): Failure {
  const failures = replies.filter((reply): reply is Failure => reply !== undefined && !reply.ok);
  const saying = (errno: Errno) => failures.filter((failure) => failure.errno === errno);
  const [missing, stale] = [saying(Errno.ENOENT), saying(Errno.ESTALE)];
  const said = 2 * stale.length > replies.length || missing.length === 0 ? stale[0] : missing[0];
  const other = failures.find((failure) => !isAbsence(failure.errno));
  return withMovedAgo(fail((said ?? other)?.errno ?? Errno.ENOTCONN), replies);
}

/** Children that said something of the file, be it that they do not have it. One whose disk failed may accuse others. */
export function answering(replies: Replies<'lookup'>): number[] {
  const isTold = (errno: Errno) => !isAbsence(errno) && errno !== Errno.EIO;
  return replies.flatMap((reply, child) => (reply && (reply.ok || isTold(reply.errno)) ? [child] : []));
}

export function firstSuccess<N extends FopName>(replies: Replies<N>): Success<N> | undefined {
  return replies.find((reply): reply is Success<N> => reply?.ok === true);
}
