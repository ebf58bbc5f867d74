/** inodelk and entrylk: locks that translators of clients take, by domains. */
import { type Args, type Call, Errno, fail, type Gfid, isValidName, type Reply } from '@mortar/core';
import type { Claim, DomainQueue } from './domain-queue.ts';
import { passGate } from './gate.ts';
import type { InternalLocks, Place } from './internal-locks.ts';
import type { EntryName, InodeLocks, LockTable } from './lock-table.ts';
import { type Migrations, migrationDomain } from './migrations.ts';
import { lengthOf, type Range, rangeOf } from './ranges.ts';

type DomainReply = Reply<'inodelk'>;
type InodeArgs = Pick<Args<'inodelk'>, 'domain' | 'command' | 'flock' | 'xdata'>;
type EntryArgs = Pick<Args<'entrylk'>, 'domain' | 'name' | 'command' | 'type'>;

const domainMaxBytes = 1024;

interface AskedLock {
  readonly clientId: string;
  readonly owner: string;
  readonly gfid: Gfid;
  readonly domain: string;
}

export interface DomainPorts {
  readonly table: LockTable;
  readonly internal: InternalLocks;
  readonly migrations: Migrations;
  /** `text` is made only when somebody wants it. */
  trace(fop: string, call: Call, text: () => string): void;
  /** Whether an unlock is to be lost, for tests. */
  loses(isUnlock: boolean): boolean;
}

export class DomainRequests {
  readonly #ports: DomainPorts;
  /** Locks that are asked for until a file that is being moved is free. */
  readonly #asked = new Set<AskedLock>();

  constructor(ports: DomainPorts) {
    this.#ports = ports;
  }

  inodelk(call: Call, gfid: Gfid | null, args: InodeArgs): DomainReply | Promise<DomainReply> {
    const { domain, command, flock, xdata } = args;
    const { migrations } = this.#ports;
    const range = rangeOf(flock);
    if (!gfid || !range || !isDomain(domain)) return fail(Errno.EINVAL);
    if (flock.type === 'unlock' && command !== 'unlock') return fail(Errno.EINVAL);
    if (domain === migrationDomain) return migrations.request(call, gfid, command, flock.type);
    // Steps of one compound may be about locks of several owners.
    const owner = flock.owner || call.lockOwner;
    const asked: AskedLock = { clientId: call.clientId, owner, gfid, domain };
    if (command !== 'unlock' && migrations.size > 0 && migrations.gate(call, gfid, true))
      return this.#inodelkLater(call, asked, args);
    // Who gave up waiting gives back what he may have got: it must not be given to him then.
    if (command === 'unlock' && this.#takeBack(asked)) return { ok: true };
    const type = flock.type === 'read' ? 'read' : 'write';
    const { clientId, attachment } = call;
    const isLease = xdata?.isLease === true;
    const claim: Claim<Range> = { clientId, owner, type, resource: range, isLease, ...(attachment && { attachment }) };
    const text = () => `${gfid} ${domain} ${command} ${type} ${range.start} ${lengthOf(range)}`;
    this.#ports.trace('inodelk', call, text);
    return this.#request(call, gfid, command, claim, domain, 'inode', (locks) => locks.rangesOf(domain));
  }

  entrylk(
    call: Call,
    gfid: Gfid | null,
    { domain, name, command, type }: EntryArgs,
  ): DomainReply | Promise<DomainReply> {
    if (!gfid || !isDomain(domain) || (name !== undefined && !isValidName(name))) return fail(Errno.EINVAL);
    const { clientId, lockOwner: owner, attachment } = call;
    const resource = name ?? null;
    const claim: Claim<EntryName> = { clientId, owner, type, resource, ...(attachment && { attachment }) };
    this.#ports.trace('entrylk', call, () => `${gfid} ${domain} ${command} ${type} ${name ?? '*'}`);
    return this.#request(call, gfid, command, claim, domain, 'entry', (locks) => locks.namesOf(domain));
  }

  /** When nobody moves the file any more. */
  async #inodelkLater(call: Call, asked: AskedLock, args: InodeArgs): Promise<DomainReply> {
    this.#asked.add(asked);
    const refused = await passGate(this.#ports.migrations, call, [asked.gfid], true);
    if (!this.#asked.delete(asked)) return fail(Errno.EAGAIN);
    return refused ?? this.inodelk(call, asked.gfid, args);
  }

  #takeBack({ clientId, owner, gfid, domain }: AskedLock): boolean {
    const theirs = [...this.#asked].filter(
      (one) => one.gfid === gfid && one.clientId === clientId && one.owner === owner && one.domain === domain,
    );
    for (const one of theirs) this.#asked.delete(one);
    return theirs.length > 0;
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
    const { table, internal } = this.#ports;
    if (this.#ports.loses(command === 'unlock')) return { ok: true };
    // Nobody would ever give it back.
    if (call.session?.isEnded) return fail(Errno.ENOTCONN);
    const locks = table.enter(gfid, call.clientId);
    const queue = queueOf(locks);
    const place: Place = { locks, domain, kind };
    const answer =
      command === 'wait' ? internal.wait(place, queue, claim, call) : internal[command](place, queue, claim);
    table.settle(locks);
    return answer;
  }
}

function isDomain(domain: string): boolean {
  return domain.length > 0 && domain.length <= domainMaxBytes;
}
