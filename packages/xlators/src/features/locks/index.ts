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
  type OptionTable,
  type OptionValues,
  type RawStep,
  type Reply,
  runSteps,
  withXdata,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { type ClearRequest, clearLocks, isClearName, parseClearName } from './clear.ts';
import type { Held } from './domain-queue.ts';
import { DomainRequests } from './domain-requests.ts';
import { endSession, heedSilence, revokeAttachment } from './ending.ts';
import { Fences } from './fences.ts';
import { isByDeadFd, passGate, runGated } from './gate.ts';
import { InternalLocks, type InternalSettings, type Place } from './internal-locks.ts';
import { isLinkto } from './linkto.ts';
import { countLocks, type LockInfo, listLocks } from './list.ts';
import { type EntryName, LockTable } from './lock-table.ts';
import { MandatoryLocks, type MandatorySettings } from './mandatory.ts';
import { Migrations, writtenXattr } from './migrations.ts';
import { options } from './options.ts';
import { PosixRequests } from './posix-requests.ts';

type Values = OptionValues<typeof options>;
/** O_TRUNC: an open that changes data. */
const truncating = 0o1000;

/** POSIX and internal locks of a brick, with fences and notices of contention. */
export class Locks extends Xlator {
  readonly #fences: Fences;
  readonly #table: LockTable;
  readonly #internal: InternalLocks;
  readonly #posix: PosixRequests;
  readonly #migrations: Migrations;
  readonly #domains: DomainRequests;
  readonly #mandatory: MandatoryLocks;
  #options: Values;
  #revoked = 0;

  constructor(init: XlatorInit) {
    super(init);
    this.#options = init.options as Values;
    const { clock, inodes, random } = init.services;
    this.#fences = new Fences(random);
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
      abandoned: ({ locks }, lock) => this.#tellAbandoned(locks.gfid, lock),
    });
    this.#domains = new DomainRequests({
      table: this.#table,
      internal: this.#internal,
      migrations: this.#migrations,
      trace: (fop, call, text) => this.#trace(fop, call, text),
      loses: (isUnlock) => this.#monkey(isUnlock),
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
      ? (call, args) => (isByDeadFd(this.#migrations, args) ? Promise.resolve(fail(Errno.ESTALE)) : own(call, args))
      : own;
    if (!isFenced(name)) return (name === 'flush' ? own : living) as Fops[N];
    const bound: Fop<FopName> = (call, args) =>
      this.#migrations.size === 0 && !args.xdata?.whileHeld
        ? this.#migrations.uncounted(living(call, args))
        : runGated(this.#migrations, name, living, call, args);
    const fenced: Fop<FopName> = (call, args) => {
      const fence = args.xdata?.fence;
      return fence === undefined || isHarmless(name, args) ? bound(call, args) : this.#fenced(fence, call, bound, args);
    };
    return fenced as Fops[N];
  }

  async #fenced(fence: number, call: Call, bound: Fop<FopName>, args: Args<FopName>): Promise<Reply<FopName>> {
    const token = this.#fences.find(fence, call.clientId);
    if (!token) return fail(Errno.ESTALE);
    return this.#fences.run(token, () => bound(call, args));
  }

  /** A fence on the compound itself holds for each of its steps. */
  compound(call: Call, { steps, xdata }: Args<'compound'>): Promise<Reply<'compound'>> {
    const fence = xdata?.fence;
    return runSteps(this.ops, call, fence === undefined ? steps : steps.map((step) => withFence(step, fence)));
  }

  async lk(call: Call, args: Args<'lk'>): Promise<Reply<'lk'>> {
    this.#trace('lk', call, () => `${args.fd.gfid} ${args.command} ${JSON.stringify(args.flock)}`);
    if (this.#monkey(args.flock.type === 'unlock' && args.command !== 'get')) return { ok: true, flock: args.flock };
    if (this.#migrations.size > 0) {
      const refused = await passGate(this.#migrations, call, [args.fd.gfid]);
      if (refused) return refused;
    }
    if (this.#migrations.isDead(args.fd)) return fail(Errno.ESTALE);
    if (call.session?.isEnded) return fail(Errno.ENOTCONN);
    if (args.xdata?.asFile === undefined || this.#posix.hasLocks(args.fd.gfid, call, args.flock))
      return this.#posix.request(call, args);
    return this.#lockFile(call, args, args.xdata.asFile);
  }

  /**
   * Locks are kept where the file is. That is looked at when the lock is there, for then nobody moves the file; and who gives it
   * back meanwhile must not come before it.
   */
  async #lockFile(call: Call, args: Args<'lk'>, xattr: ByteString): Promise<Reply<'lk'>> {
    const reply = await this.#posix.request(call, args);
    if (!reply.ok || !(await isLinkto(this.child, args.fd, xattr))) return reply;
    const { fd, command, flock } = args;
    if (command !== 'get') await this.#posix.request(call, { fd, command, flock: { ...flock, type: 'unlock' } });
    return fail(Errno.ENOENT);
  }

  async open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    // What is read must ask whether it may be.
    const { contents, ...others } = args;
    const reply = await this.child.open(call, contents && this.#mandatory.settings.mode === 'off' ? args : others);
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

  async inodelk(call: Call, args: Args<'inodelk'>): Promise<Reply<'inodelk'>> {
    return this.#domains.inodelk(call, args.loc.gfid, args);
  }

  async finodelk(call: Call, args: Args<'finodelk'>): Promise<Reply<'inodelk'>> {
    return this.#domains.inodelk(call, args.fd.gfid, args);
  }

  async entrylk(call: Call, args: Args<'entrylk'>): Promise<Reply<'entrylk'>> {
    return this.#domains.entrylk(call, args.loc.gfid, args);
  }

  async fentrylk(call: Call, args: Args<'fentrylk'>): Promise<Reply<'entrylk'>> {
    return this.#domains.entrylk(call, args.fd.gfid, args);
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
    const tables = { table: this.#table, internal: this.#internal, posix: this.#posix };
    if (event.type === 'session-ended') {
      this.#migrations.endSession(event.clientId);
      endSession(tables, event.clientId);
    }
    if (event.type === 'session-silent') heedSilence(tables, event.clientId);
    if (event.type === 'attachment-revoked') revokeAttachment(tables, event);
    super.notify(event, from);
  }

  #tell(gfid: Gfid, domain: string, lock: Held<unknown>, kind: Place['kind']): void {
    const name = kind === 'entry' ? { name: lock.resource as EntryName } : {};
    this.propagate({ type: 'upcall', what: 'lock-contended', gfid, domain, clientId: lock.clientId, ...name });
  }

  /** Replicas may differ in what was begun under it: who reads the file looks again, and heal looks soon. */
  #tellAbandoned(gfid: Gfid, { isLease, clientId }: Held<unknown>): void {
    if (isLease) this.propagate({ type: 'upcall', what: 'accused', gfid, except: clientId });
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

  #trace(fop: string, call: Call, text: () => string): void {
    if (!this.#options.trace) return;
    this.services.log.write('INFO', this.name, `${fop} client=${call.clientId} owner=${call.lockOwner} ${text()}`);
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

function isFenced(name: FopName): boolean {
  const { class: touches } = fops[name];
  return touches === 'data' || touches === 'metadata' || touches === 'entry' || name === 'open';
}

function isHarmless(name: FopName, args: Args<FopName>): boolean {
  return name === 'open' && ((args as Args<'open'>).flags & truncating) === 0;
}

function withFence({ fop, args }: RawStep, fence: number): RawStep {
  const given = args as Args<FopName>;
  return { fop, args: given.xdata?.fence === undefined ? withXdata(given, { fence }) : given };
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
