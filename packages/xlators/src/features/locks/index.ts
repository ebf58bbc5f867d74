import {
  type Args,
  type ByteString,
  type Call,
  Errno,
  type Failure,
  type Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  fops,
  type Gfid,
  type GraphEvent,
  isValidName,
  type Loc,
  type OptionTable,
  type OptionValues,
  type Reply,
  replyOfStep,
  type Xdata,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { type ClearRequest, clearLocks, isClearName, parseClearName } from './clear.ts';
import type { Claim, DomainQueue, Held } from './domain-queue.ts';
import { Fences } from './fences.ts';
import { InternalLocks, type InternalSettings, type Place } from './internal-locks.ts';
import { countLocks, type LockInfo, listLocks } from './list.ts';
import { type EntryName, type InodeLocks, LockTable } from './lock-table.ts';
import { MandatoryLocks, type MandatorySettings } from './mandatory.ts';
import { Migrations, migrationDomain, writtenXattr } from './migrations.ts';
import { options } from './options.ts';
import { PosixRequests } from './posix-requests.ts';
import { lengthOf, type Range, rangeOf } from './ranges.ts';

type Values = OptionValues<typeof options>;
type DomainReply = Reply<'inodelk'>;
const domainMaxBytes = 1024;
/** Of files that only say where the data is; a file that has just this mode is opened anew, and found where it is. */
const linktoMode = 0o1000;
/** O_TRUNC: an open that changes data. */
const truncating = 0o1000;

/** POSIX and internal locks of a brick, with fences and notices of contention. */
export class Locks extends Xlator {
  readonly #fences: Fences;
  readonly #table: LockTable;
  readonly #internal: InternalLocks;
  readonly #posix: PosixRequests;
  readonly #migrations: Migrations;
  /** Locks that are asked for until a file that is being moved is free. */
  readonly #asked = new Set<AskedLock>();
  readonly #mandatory: MandatoryLocks;
  #options: Values;
  #revoked = 0;

  constructor(init: XlatorInit) {
    super(init);
    this.#options = init.options as Values;
    const { clock, inodes } = init.services;
    this.#fences = new Fences(clock);
    this.#table = new LockTable(inodes, this.slot, (claim) => this.#internal.make(claim));
    this.#posix = new PosixRequests(this.#table, clock, this.slot);
    this.#migrations = new Migrations(clock, (gfid, clientId) => this.#table.lockedBy(gfid, clientId));
    this.#mandatory = new MandatoryLocks(mandatoryOf(this.#options), this.#table, inodes, () => this.child);
    this.#internal = new InternalLocks(settingsOf(this.#options), {
      clock,
      fences: this.#fences,
      settle: (locks) => this.#table.settle(locks),
      tell: (gfid, domain, lock, kind) => this.#tell(gfid, domain, lock, kind),
      revoked: (place, lock, reason) => this.#logRevoked(place, lock, reason),
    });
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#options = values as Values;
    this.#internal.settings = settingsOf(this.#options);
    this.#mandatory.settings = mandatoryOf(this.#options);
  }

  /** Whatever changes something is refused when it comes with a fence whose lock is gone. */
  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const own = this.#mandatory.around(name, super.bindFop(name, next) as Fop<FopName>);
    const isOfFd = 'fd' in fops[name].args || 'from' in fops[name].args;
    const living: Fop<FopName> = isOfFd
      ? (call, args) => (this.#hasDead(args) ? Promise.resolve(fail(Errno.ESTALE)) : own(call, args))
      : own;
    if (!isFenced(name)) return (name === 'flush' ? own : living) as Fops[N];
    const bound: Fop<FopName> = (call, args) =>
      this.#migrations.size === 0 && !args.xdata?.whileHeld
        ? this.#migrations.uncounted(living(call, args))
        : this.#gated(name, living, call, args);
    const fenced: Fop<FopName> = (call, args) => {
      const fence = args.xdata?.fence;
      return fence === undefined || isHarmless(name, args) ? bound(call, args) : this.#fenced(fence, call, bound, args);
    };
    return fenced as Fops[N];
  }

  /** A file that is being moved is left alone by all but the one that moves it. */
  async #gated(name: FopName, own: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    const gfids = gfidsOf(args);
    const refused = await this.#passed(call, gfids, upkeep.has(name));
    if (refused) return refused;
    if (args.xdata?.whileHeld && !gfids.every((gfid) => this.#migrations.mayEnd(call, gfid))) return fail(Errno.ESTALE);
    const reply = await this.#migrations.counted(call, name, args, gfids, () => own(call, args));
    if (reply.ok && takesAway(name, args)) for (const gfid of gfids) this.#migrations.left(call, gfid);
    return reply;
  }

  /** When none of the files is held by somebody who moves it. */
  async #passed(call: Call, gfids: readonly Gfid[], isUpkeep = false): Promise<Failure | null> {
    const gateOf = (gfid: Gfid) => this.#migrations.gate(call, gfid, isUpkeep);
    for (const gfid of gfids)
      for (let gate = gateOf(gfid); gate; gate = gateOf(gfid)) {
        const refused = await gate;
        if (refused) return refused;
      }
    return null;
  }

  /** A descriptor of a file that was moved away. */
  #hasDead(args: Args<FopName>): boolean {
    const { fd, from, to } = args as { fd?: Fd; from?: Fd; to?: Fd };
    if (fd) return this.#migrations.isDead(fd);
    return (from !== undefined && this.#migrations.isDead(from)) || (to !== undefined && this.#migrations.isDead(to));
  }

  async #fenced(fence: number, call: Call, bound: Fop<FopName>, args: Args<FopName>): Promise<Reply<FopName>> {
    const token = this.#fences.find(fence, call.clientId);
    if (!token) return fail(Errno.ESTALE);
    return this.#fences.run(token, () => bound(call, args));
  }

  /** A fence on the compound itself holds for each of its steps. */
  async compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    const fence = args.xdata?.fence;
    const replies: Extract<Reply<'compound'>, { ok: true }>['replies'] = [];
    for (const step of args.steps) {
      const name = step.fop as FopName;
      const run = this.ops[name] as Fop<FopName>;
      const given = step.args as Args<FopName>;
      const reply = await run(call, fence === undefined ? given : withFence(given, fence));
      replies.push(reply);
      if (!replyOfStep(name, replies, replies.length - 1)?.ok) break;
    }
    return { ok: true, replies };
  }

  async lk(call: Call, args: Args<'lk'>): Promise<Reply<'lk'>> {
    if (this.#options.trace) this.#trace('lk', call, `${args.fd.gfid} ${args.command} ${JSON.stringify(args.flock)}`);
    if (this.#monkey(args.flock.type === 'unlock' && args.command !== 'get')) return { ok: true, flock: args.flock };
    if (this.#migrations.size > 0) {
      const refused = await this.#passed(call, [args.fd.gfid]);
      if (refused) return refused;
    }
    if (this.#migrations.isDead(args.fd)) return fail(Errno.ESTALE);
    if (call.session?.isEnded) return fail(Errno.ENOTCONN);
    return this.#posix.request(call, args);
  }

  async open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    const reply = await this.child.open(call, args);
    if (reply.ok) this.#opened(args.fd);
    return reply;
  }

  async opendir(call: Call, args: Args<'opendir'>): Promise<Reply<'opendir'>> {
    const reply = await this.child.opendir(call, args);
    if (reply.ok) this.#posix.opened(args.fd);
    return reply;
  }

  async create(call: Call, args: Args<'create'>): Promise<Reply<'create'>> {
    const reply = await this.child.create(call, args);
    if (reply.ok) this.#opened(args.fd);
    return reply;
  }

  #opened(fd: Fd): void {
    this.#posix.opened(fd);
    this.#migrations.opened(fd);
  }

  /** close(2) by a process: its locks on the file go, whichever descriptor they were taken through. */
  async flush(call: Call, args: Args<'flush'>): Promise<Reply<'flush'>> {
    const reply = await this.child.flush(call, args);
    this.#posix.releaseOwner(args.fd.gfid, { clientId: call.clientId, owner: call.lockOwner });
    return reply;
  }

  async inodelk(call: Call, args: Args<'inodelk'>): Promise<DomainReply> {
    return this.#inodelk(call, args.loc.gfid, args);
  }

  async finodelk(call: Call, args: Args<'finodelk'>): Promise<DomainReply> {
    return this.#inodelk(call, args.fd.gfid, args);
  }

  async entrylk(call: Call, args: Args<'entrylk'>): Promise<DomainReply> {
    return this.#entrylk(call, args.loc.gfid, args);
  }

  async fentrylk(call: Call, args: Args<'fentrylk'>): Promise<DomainReply> {
    return this.#entrylk(call, args.fd.gfid, args);
  }

  #inodelk(
    call: Call,
    gfid: Gfid | null,
    { domain, command, flock }: Pick<Args<'inodelk'>, 'domain' | 'command' | 'flock'>,
  ): DomainReply | Promise<DomainReply> {
    const range = rangeOf(flock);
    if (!gfid || !range || !isDomain(domain)) return fail(Errno.EINVAL);
    if (flock.type === 'unlock' && command !== 'unlock') return fail(Errno.EINVAL);
    if (domain === migrationDomain) return this.#migrations.request(call, gfid, command, flock.type);
    // Steps of one compound may be about locks of several owners.
    const owner = flock.owner || call.lockOwner;
    const asked: AskedLock = { clientId: call.clientId, owner, gfid, domain };
    if (command !== 'unlock' && this.#migrations.size > 0 && this.#migrations.gate(call, gfid, true))
      return this.#inodelkLater(call, asked, { domain, command, flock });
    // Who gave up waiting gives back what he may have got: it must not be given to him then.
    if (command === 'unlock' && this.#takeBack(asked)) return { ok: true };
    const type = flock.type === 'read' ? 'read' : 'write';
    const { clientId, attachment } = call;
    const claim: Claim<Range> = { clientId, owner, type, resource: range, ...(attachment && { attachment }) };
    if (this.#options.trace)
      this.#trace('inodelk', call, `${gfid} ${domain} ${command} ${type} ${range.start} ${lengthOf(range)}`);
    return this.#request(call, gfid, command, claim, domain, 'inode', (locks) => locks.rangesOf(domain));
  }

  /** When nobody moves the file any more. */
  async #inodelkLater(
    call: Call,
    asked: AskedLock,
    args: Pick<Args<'inodelk'>, 'domain' | 'command' | 'flock'>,
  ): Promise<DomainReply> {
    this.#asked.add(asked);
    const refused = await this.#passed(call, [asked.gfid], true);
    if (!this.#asked.delete(asked)) return fail(Errno.EAGAIN);
    return refused ?? this.#inodelk(call, asked.gfid, args);
  }

  #takeBack({ clientId, owner, gfid, domain }: AskedLock): boolean {
    const theirs = [...this.#asked].filter(
      (one) => one.gfid === gfid && one.clientId === clientId && one.owner === owner && one.domain === domain,
    );
    for (const one of theirs) this.#asked.delete(one);
    return theirs.length > 0;
  }

  #entrylk(
    call: Call,
    gfid: Gfid | null,
    { domain, name, command, type }: Pick<Args<'entrylk'>, 'domain' | 'name' | 'command' | 'type'>,
  ): DomainReply | Promise<DomainReply> {
    if (!gfid || !isDomain(domain) || (name !== undefined && !isValidName(name))) return fail(Errno.EINVAL);
    const { clientId, lockOwner: owner, attachment } = call;
    const resource = name ?? null;
    const claim: Claim<EntryName> = { clientId, owner, type, resource, ...(attachment && { attachment }) };
    if (this.#options.trace) this.#trace('entrylk', call, `${gfid} ${domain} ${command} ${type} ${name ?? '*'}`);
    return this.#request(call, gfid, command, claim, domain, 'entry', (locks) => locks.namesOf(domain));
  }

  #request<R>(
    call: Call,
    gfid: Gfid,
    command: 'try' | 'wait' | 'unlock',
    claim: Claim<R>,
    domain: string,
    kind: Place['kind'],
    queueOf: (locks: InodeLocks) => DomainQueue<R>,
  ): DomainReply | Promise<DomainReply> {
    if (this.#monkey(command === 'unlock')) return { ok: true };
    // Nobody would ever give it back.
    if (call.session?.isEnded) return fail(Errno.ENOTCONN);
    const locks = this.#table.enter(gfid, call.clientId);
    const queue = queueOf(locks);
    const place: Place = { locks, domain, kind };
    const answer =
      command === 'wait'
        ? this.#internal.wait(place, queue, claim, call)
        : this.#internal[command](place, queue, claim);
    this.#table.settle(locks);
    return answer;
  }

  async setxattr(call: Call, args: Args<'setxattr'>): Promise<Reply<'setxattr'>> {
    const name = Object.keys(args.xattrs).find(isClearName);
    if (name === undefined) {
      const set = { names: Object.keys(args.xattrs), demands: true };
      return this.#mandatory.marking(call, args.loc.gfid, set, (as) => this.child.setxattr(as, args));
    }
    const cleared = this.#clear(call, args.loc.gfid, name);
    return typeof cleared === 'string' ? { ok: true } : cleared;
  }

  async fsetxattr(call: Call, args: Args<'fsetxattr'>): Promise<Reply<'fsetxattr'>> {
    const set = { names: Object.keys(args.xattrs), demands: true };
    return this.#mandatory.marking(call, args.fd.gfid, set, (as) => this.child.fsetxattr(as, args));
  }

  async removexattr(call: Call, args: Args<'removexattr'>): Promise<Reply<'removexattr'>> {
    const removed = { names: [args.name], demands: false };
    return this.#mandatory.marking(call, args.loc.gfid, removed, (as) => this.child.removexattr(as, args));
  }

  async fremovexattr(call: Call, args: Args<'fremovexattr'>): Promise<Reply<'fremovexattr'>> {
    const removed = { names: [args.name], demands: false };
    return this.#mandatory.marking(call, args.fd.gfid, removed, (as) => this.child.fremovexattr(as, args));
  }

  async getxattr(call: Call, args: Args<'getxattr'>): Promise<Reply<'getxattr'>> {
    if (args.name === writtenXattr) return this.#written(call, args.loc.gfid);
    if (args.name === undefined || !isClearName(args.name)) return this.child.getxattr(call, args);
    const cleared = this.#clear(call, args.loc.gfid, args.name);
    return typeof cleared === 'string' ? { ok: true, xattrs: { [args.name]: Buffer.from(`${cleared}\0`) } } : cleared;
  }

  #written(call: Call, gfid: Gfid | null): Reply<'getxattr'> {
    const spans = gfid === null ? undefined : this.#migrations.written(call, gfid);
    if (!spans) return fail(Errno.ENODATA);
    // JSON has no Infinity; it becomes null.
    return { ok: true, xattrs: { [writtenXattr]: Buffer.from(JSON.stringify(spans)) } };
  }

  /** `gluster volume clear-locks`. */
  #clear(call: Call, gfid: Gfid | null, name: ByteString): string | Failure {
    if (call.uid !== 0) return fail(Errno.EPERM);
    const request: ClearRequest | undefined = parseClearName(name);
    if (!gfid || !request) return fail(Errno.EINVAL);
    const locks = this.#table.find(gfid);
    const { granted, blocked } = locks
      ? clearLocks(locks, request, this.#internal, this.#posix)
      : { granted: 0, blocked: 0 };
    if (locks) this.#table.settle(locks);
    return `${this.name}: ${request.type} blocked locks=${blocked} granted locks=${granted}`;
  }

  /** `locks.list` {limit}: all locks; `locks.count` {gfid, domain}: of one file and domain. Both answer JSON. */
  async ipc(call: Call, args: Args<'ipc'>): Promise<Reply<'ipc'>> {
    if (args.operation === 'locks.list') return jsonReply(this.list());
    if (args.operation === 'locks.count') return jsonReply(countLocks(this.#table, args.data));
    return this.child.ipc(call, args);
  }

  /** Every lock and waiter, up to `limit`. */
  list(limit = 10_000): LockInfo[] {
    return listLocks(this.#table.all(), limit);
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'session-ended') this.#endSession(event.clientId);
    if (event.type === 'attachment-revoked') this.#revokeAttachment(event);
    super.notify(event, from);
  }

  #endSession(clientId: string): void {
    this.#migrations.endSession(clientId);
    for (const locks of this.#table.leave(clientId)) {
      this.#posix.releaseClient(locks, clientId);
      this.#endLocks(locks, (lock) => lock.clientId === clientId, Errno.ENOTCONN);
    }
  }

  /** Of whoever had a block device before: what runs under such a lock ends before anybody else gets it. */
  #revokeAttachment({ device, epoch, gfids }: Extract<GraphEvent, { type: 'attachment-revoked' }>): void {
    const isOlder = ({ attachment }: Claim<unknown>) => attachment?.device !== device || attachment.epoch < epoch;
    for (const gfid of gfids) {
      const locks = this.#table.find(gfid);
      if (locks) this.#endLocks(locks, isOlder, Errno.EKEYREVOKED);
    }
  }

  #endLocks(locks: InodeLocks, isOver: (claim: Claim<unknown>) => boolean, errno: Errno): void {
    for (const [domain, queue] of locks.inodelk) this.#endQueue({ locks, domain, kind: 'inode' }, queue, isOver, errno);
    for (const [domain, queue] of locks.entrylk) this.#endQueue({ locks, domain, kind: 'entry' }, queue, isOver, errno);
    this.#table.settle(locks);
  }

  #endQueue<R>(place: Place, queue: DomainQueue<R>, isOver: (claim: Claim<unknown>) => boolean, errno: Errno): void {
    for (const waiter of queue.waiting.filter(({ claim }) => isOver(claim))) {
      queue.withdraw(waiter);
      waiter.refused(errno);
    }
    for (const lock of queue.held.filter(isOver)) this.#internal.drop(place, queue, lock);
    queue.wake();
  }

  #tell(gfid: Gfid, domain: string, lock: Held<unknown>, kind: Place['kind']): void {
    const name = kind === 'entry' ? { name: lock.resource as EntryName } : {};
    this.propagate({ type: 'upcall', what: 'lock-contended', gfid, domain, clientId: lock.clientId, ...name });
  }

  #logRevoked(place: Place, lock: Held<unknown>, reason: string): void {
    this.#revoked++;
    const age = Math.floor((this.services.clock.nowMs() - lock.grantedAtMs) / 1000);
    this.services.log.write(
      'WARNING',
      this.name,
      `Lock revocation [reason: ${reason}; gfid: ${place.locks.gfid}; domain: ${place.domain}; age: ${age} sec; client: ${lock.clientId}]`,
    );
  }

  #monkey(unlock: boolean): boolean {
    return unlock && this.#options['monkey-unlocking'] && this.services.random.integer(100) === 0;
  }

  #trace(fop: string, call: Call, text: string): void {
    this.services.log.write('INFO', this.name, `${fop} client=${call.clientId} owner=${call.lockOwner} ${text}`);
  }

  override async fini(): Promise<void> {
    this.#internal.fini();
  }

  override dump(): Record<string, string | number | boolean> {
    const counts: Record<string, number> = {};
    for (const { kind, state } of this.list()) counts[`${kind}-${state}`] = (counts[`${kind}-${state}`] ?? 0) + 1;
    return { inodes: this.#table.size, fences: this.#fences.size, revoked: this.#revoked, ...counts };
  }
}

/** The files that a request is about, as far as it says. */
function gfidsOf(args: Args<FopName>): Gfid[] {
  const { loc, fd, from, to, gfid } = args as { loc?: Loc; fd?: Fd; from?: Loc | Fd; to?: Loc | Fd; gfid?: Gfid };
  // A linkto that is made of a gfid that is here becomes one more name of it.
  return [...[loc, fd, from, to].flatMap((one) => one?.gfid ?? []), ...(gfid ? [gfid] : [])];
}

interface AskedLock {
  readonly clientId: string;
  readonly owner: string;
  readonly gfid: Gfid;
  readonly domain: string;
}

/** What replicas do for a change, or when they are done with it. */
const upkeep: ReadonlySet<FopName> = new Set(['xattrop', 'fxattrop', 'fsync', 'fsyncdir']);

/** What the mover of a file does to it where it was, once it is elsewhere: its names go, or it becomes a linkto. */
function takesAway(name: FopName, args: Args<FopName>): boolean {
  return name === 'unlink' || (name === 'setattr' && (args as Args<'setattr'>).attr.mode === linktoMode);
}

function isFenced(name: FopName): boolean {
  const { class: touches } = fops[name];
  return touches === 'data' || touches === 'metadata' || touches === 'entry' || name === 'open';
}

function isHarmless(name: FopName, args: Args<FopName>): boolean {
  return name === 'open' && ((args as Args<'open'>).flags & truncating) === 0;
}

function withFence(args: Args<FopName>, fence: number): Args<FopName> {
  const xdata: Xdata = { fence, ...args.xdata };
  return { ...args, xdata };
}

function isDomain(domain: string): boolean {
  return domain.length > 0 && domain.length <= domainMaxBytes;
}

function jsonReply(value: unknown): Reply<'ipc'> {
  return value === undefined ? fail(Errno.EINVAL) : { ok: true, data: Buffer.from(JSON.stringify(value)) };
}

function settingsOf(values: Values): InternalSettings {
  return {
    notify: values['notify-contention'],
    notifyDelayMs: values['notify-contention-delay'] * 1000,
    revocationMs: values['revocation-secs'] * 1000,
    revocationMaxBlocked: values['revocation-max-blocked'],
    revocationClearAll: values['revocation-clear-all'],
  };
}

function mandatoryOf(values: Values): MandatorySettings {
  return { mode: values['mandatory-locking'], enforce: values['enforce-mandatory-lock'] };
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/locks',
  description: 'Locks of a brick: POSIX byte ranges, internal domains, fences, notices of contention.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new Locks(init as XlatorInit),
};
