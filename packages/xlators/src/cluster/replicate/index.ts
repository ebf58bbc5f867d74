import {
  type Fops,
  type GraphEvent,
  type Inode,
  isGfid,
  type LogLevel,
  type OptionValues,
  parseBool,
  stances,
  type Timer,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { type Kind, kinds } from './changelog.ts';
import { entryFops } from './entry-changes.ts';
import { fileFops } from './file-changes.ts';
import { AccessHealer, type AccessSettings } from './heal/on-access.ts';
import type { SetHealerOptions } from './heal/set-healer.ts';
import type { InodeContext } from './inode-context.ts';
import { lockFops } from './locks.ts';
import { lookup } from './lookup.ts';
import { options } from './options.ts';
import { quorumRule } from './quorum.ts';
import { readFops } from './reads.ts';
import { type LiveOptions, Replica } from './replica.ts';
import { ReplicaSet } from './replica-set.ts';

type Options = OptionValues<typeof options>;

const fopRecord = stances('handles', { ipc: 'refuses', lease: 'refuses', icreate: 'refuses', namelink: 'refuses' });
/** How long the first answers of all children are waited for before the set is used as it is. */
const firstAnswersMs = 10_000;
/** GlusterFS's heal threads spend their time waiting; that many heals in flight are one thread's worth here. */
const healsPerThread = 8;

export class ReplicateXlator extends Xlator {
  #options: Options;
  #replica: Replica | undefined;
  /** Children that have said at least once whether they are there. */
  readonly #answered = new Set<number>();
  #announced: 'none' | 'up' | 'down' = 'none';
  #patience: Timer | undefined;
  readonly #upListeners: (() => void)[] = [];
  readonly #accusedListeners: (() => void)[] = [];
  readonly #optionListeners: (() => void)[] = [];

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    this.#options = init.options;
  }

  get replica(): Replica {
    return this.#replica!;
  }

  override bind(children: Parameters<Xlator['bind']>[0], record: Parameters<Xlator['bind']>[1]): void {
    const given = this.#options['afr-pending-xattr'].split(',').filter((name) => name !== '');
    const pendingKeys = children.map((child, i) => `trusted.afr.${given[i] ?? child.xlator.name}`);
    const values = {
      pendingKeys,
      arbiterCount: this.#options['arbiter-count'],
      quorumType: this.#options['quorum-type'] || undefined,
      quorumCount: this.#options['quorum-count'],
      laggardTimeoutMs: this.#options['laggard-timeout'] * 1000,
    };
    const set = new ReplicaSet(children, values, this.services.clock, (child, lags) => this.#lags(child, lags));
    this.#replica = new Replica(
      this.name,
      this.services,
      this.slot,
      set,
      this.#live(
        this.#options,
        children.map((child) => child.xlator.name),
      ),
    );
    const replica = this.#replica;
    const healer = new AccessHealer(replica, () => this.#accessSettings);
    const find: Fops['lookup'] = (call, args) => lookup(replica, call, args, healer);
    Object.assign(this, { lookup: find }, readFops(replica), fileFops(replica), entryFops(replica), lockFops(replica));
    super.bind(children, record);
  }

  #live(values: Options, names: readonly string[]): LiveOptions {
    const named = names.indexOf(values['read-subvolume']);
    return {
      eagerLock: values['eager-lock'],
      idle: {
        mostMs: values['eager-lock'] ? values['post-op-delay-secs'] * 1000 : 0,
        isFixed: this.texts.has('post-op-delay-secs'),
      },
      ensureDurability: values['ensure-durability'],
      granular: values['granular-entry-heal'],
      readHashMode: values['read-hash-mode'],
      readChild: named >= 0 ? named : values['read-subvolume-index'],
      chooseLocal: values['choose-local'],
      policy: values['favorite-child-policy'],
      parkingFor: values['use-anonymous-inode'] && isGfid(values['volume-id']) ? values['volume-id'] : undefined,
    };
  }

  override async init(): Promise<void> {
    this.#patience = this.services.clock.after(firstAnswersMs, () => this.#announce(true));
  }

  override reconfigure(values: OptionValues<typeof options>): void {
    this.#options = values;
    const { set } = this.replica;
    this.replica.live = this.#live(
      values,
      this.children.map((child) => child.xlator.name),
    );
    set.laggardTimeoutMs = values['laggard-timeout'] * 1000;
    set.quorum = quorumRule(values['quorum-type'] || undefined, values['quorum-count'], set.count);
    for (const listener of this.#optionListeners) listener();
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    const child = this.children.findIndex((one) => one.xlator === from);
    if (child < 0 || !this.#isForUs(event, child)) this.propagate(event);
  }

  /** Whether a child's event ends here. */
  #isForUs(event: GraphEvent, child: number): boolean {
    switch (event.type) {
      case 'child-up':
      case 'child-down':
        this.#isLocal(child, event.type === 'child-up' && event.isLocal === true);
        this.#childIs(child, event.type === 'child-up');
        if (event.type === 'child-down') this.propagate({ type: 'upcalls-lost' });
        return true;
      case 'child-connecting':
        return true;
      case 'session-lost':
        this.replica.leases.locksLost(child);
        this.replica.heldLocks.lostOn(child);
        this.propagate({ type: 'upcalls-lost' });
        return true;
      case 'upcall':
        if (event.what === 'accused') {
          // What was known of the file is not true any more, nor what caches above have of it.
          this.replica.contexts.doubt(event.gfid);
          this.propagate({ type: 'upcall', gfid: event.gfid, what: 'data' });
          for (const listener of this.#accusedListeners) listener();
          return true;
        }
        if (event.what !== 'lock-contended' || event.domain !== this.name) return false;
        this.replica.leases.recall(event.gfid);
        return true;
      default:
        return false;
    }
  }

  #isLocal(child: number, isLocal: boolean): void {
    const { localChildren } = this.replica.set;
    if (isLocal) localChildren.add(child);
    else localChildren.delete(child);
  }

  #childIs(child: number, up: boolean): void {
    this.#answered.add(child);
    const { set, leases } = this.replica;
    if (set.setConnected(child, up)) {
      this.#log('INFO', child, up ? 'is up' : 'is down');
      if (up) this.#returned(child);
      else leases.forget(child);
    }
    this.#announce(false);
  }

  #lags(child: number, lags: boolean): void {
    const { set, leases } = this.replica;
    const seconds = set.laggardTimeoutMs / 1000;
    if (lags) {
      this.#log(
        'WARNING',
        child,
        `has not answered for ${seconds} s while a quorum has, and is left out until it does`,
      );
      leases.forget(child);
    } else if (set.isConnected(child)) {
      this.#log('INFO', child, 'answers again');
      this.#returned(child);
    }
    this.#announce(false);
  }

  /** A lease from before does not cover a child that came. */
  #returned(child: number): void {
    const { leases, heldLocks } = this.replica;
    void heldLocks.retake();
    leases.returned(child);
    leases.recallAll();
    for (const listener of this.#upListeners) listener();
  }

  #log(level: LogLevel, child: number, what: string): void {
    const { set } = this.replica;
    const writes = set.suffices(set.up) ? 'yes' : 'no';
    const state = `${set.up.length} of ${set.count} children are up, writes: ${writes}`;
    this.services.log.write(level, this.name, `${this.children[child]!.xlator.name} ${what}; ${state}`);
  }

  /** Tells the parents once all children have answered (or patience ran out), and whenever the last one goes. */
  #announce(outOfPatience: boolean): void {
    const { set } = this.replica;
    const ready = outOfPatience || this.#answered.size === set.count;
    const state = set.up.length > 0 ? 'up' : 'down';
    if (
      !ready ||
      state === this.#announced ||
      (state === 'down' && this.#announced === 'none' && !outOfPatience && this.#answered.size < set.count)
    )
      return;
    this.#patience?.cancel();
    this.#announced = state;
    this.propagate({ type: state === 'up' ? 'child-up' : 'child-down' });
  }

  /** How the heal daemon is to heal this set. */
  get healSettings(): SetHealerOptions {
    const values = this.#options;
    const algorithm = values['data-self-heal-algorithm'];
    return {
      enabled: values['self-heal-daemon'],
      timeoutMs: values['heal-timeout'] * 1000,
      parallel: values['shd-max-threads'] * healsPerThread,
      queueLength: values['shd-wait-qlength'],
      windowBytes: values['data-self-heal-window-size'] * 128 * 1024,
      algorithm: algorithm === 'full' || algorithm === 'diff' ? algorithm : 'auto',
    };
  }

  get #accessSettings(): AccessSettings {
    const values = this.#options;
    const { windowBytes, algorithm } = this.healSettings;
    const asked: Record<Kind, boolean> = {
      data: parseBool(values['data-self-heal']) ?? values['data-self-heal'] === 'open',
      metadata: values['metadata-self-heal'],
      entry: values['entry-self-heal'],
    };
    // The heal daemon looks up what it heals itself.
    const wanted = values['iam-self-heal-daemon'] ? [] : kinds.filter((kind) => asked[kind]);
    return { windowBytes, algorithm, kinds: wanted, parallel: values['background-self-heal-count'] };
  }

  /** Called whenever a child comes up. */
  onChildUp(listener: () => void): void {
    this.#upListeners.push(listener);
  }

  /** Called whenever a brick tells that it accuses another. */
  onAccused(listener: () => void): void {
    this.#accusedListeners.push(listener);
  }

  /** Called when options have changed. */
  onReconfigured(listener: () => void): void {
    this.#optionListeners.push(listener);
  }

  override async drain(): Promise<void> {
    await this.replica.leases.settleAll();
  }

  override async fini(): Promise<void> {
    this.#patience?.cancel();
    this.replica.set.laggards.stop();
  }

  protected override forget(_inode: Inode, state: unknown): void {
    // A lease holds its inode in the table, so there is none here.
    (state as InodeContext).lease = undefined;
  }

  override dump(): Record<string, string | number | boolean> {
    const { set, leases } = this.replica;
    const { live } = this.replica;
    const lines: Record<string, string | number | boolean> = { child_count: set.count };
    // Tools take the line before a pending_key for its child's state.
    for (const [i, key] of set.pendingKeys.entries()) {
      lines[`child_up[${i}]`] = set.isUp(i) ? 1 : 0;
      lines[`pending_key[${i}]`] = key;
    }
    const values = this.#options;
    const heals = (text: string) => parseBool(text) ?? text === 'open';
    return Object.assign(lines, {
      data_self_heal: heals(values['data-self-heal']),
      metadata_self_heal: values['metadata-self-heal'],
      entry_self_heal: values['entry-self-heal'],
      read_child: this.#readChild(),
      'heal-wait-queue-length': values['heal-wait-queue-length'],
      'background-self-heal-count': values['background-self-heal-count'],
      'read-hash-mode': live.readHashMode,
      'use-anonymous-inode': values['use-anonymous-inode'],
      ...this.#quorumLines(),
      up: set.suffices(set.up),
      leases: leases.count,
    });
  }

  /** -1: it goes by the file. */
  #readChild(): number {
    const { live, set } = this.replica;
    if (live.readChild >= 0 || !live.chooseLocal) return live.readChild;
    return set.children.findIndex((_, child) => set.localChildren.has(child));
  }

  /** A fixed quorum without a count is none; scripts look for the count being absent then. */
  #quorumLines(): Record<string, string | number> {
    const { type, count } = this.replica.set.quorum;
    if (type !== 'fixed') return { 'quorum-type': type };
    return this.#options['quorum-count'] === 0
      ? { 'quorum-type': 'none' }
      : { 'quorum-type': type, 'quorum-count': count };
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'cluster/replicate',
  description: 'Keeps the same files on all its subvolumes and heals those that fell behind.',
  options,
  subvolumes: { min: 2, max: 64 },
  keeps: 'retained',
  fops: fopRecord,
  create: (init) => new ReplicateXlator(init),
};
