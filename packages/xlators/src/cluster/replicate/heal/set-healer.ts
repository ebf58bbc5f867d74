/** Heals one replica set: finds what is pending, keeps a queue of it, heals several at once. */
import { type Clock, type Gfid, rootGfid, type Timer } from '@mortar/core';
import PQueue from 'p-queue';
import type { Replica } from '../replica.ts';
import { heal } from './healer.ts';
import { HealIndex } from './index-access.ts';
import { Parking } from './parking.ts';
import type { HealContext, HealResult } from './result.ts';
import { forgetStrayNames } from './stray-names.ts';
import { walk } from './walk.ts';

/** One thing to heal: why, since when, how often it was tried and what stopped it. */
export interface HealItem {
  readonly gfid: Gfid;
  readonly reason: 'index' | 'dirty' | 'new' | 'full';
  readonly sinceMs: number;
  attempts: number;
  running: boolean;
  last: HealResult | undefined;
}

export interface CrawlStatistics {
  readonly type: 'INDEX' | 'FULL';
  readonly startSec: number;
  endSec: number | undefined;
  healed: number;
  splitBrain: number;
  failed: number;
}

/** Read anew for each crawl, since options change while the daemon runs. */
export interface SetHealerOptions {
  readonly enabled: boolean;
  readonly timeoutMs: number;
  readonly parallel: number;
  readonly queueLength: number;
  readonly windowBytes: number;
  readonly algorithm: HealContext['algorithm'];
}

/** Crawls of which statistics are kept. */
const keptCrawls = 50;
/** How soon a crawl that left something in use or half done is repeated. */
const soonMs = 1000;
/** What was dirty and in use for so long is waited for: its client may go on for ever, and the mark may be another one's. */
const patientMs = 5000;

export class SetHealer {
  readonly replica: Replica;
  readonly index: HealIndex;
  readonly statistics: CrawlStatistics[] = [];
  readonly #items = new Map<Gfid, HealItem>();
  /** Those of the round before. */
  #before: ReadonlyMap<Gfid, HealItem> = new Map();
  readonly #queue: PQueue;
  readonly #clock: Clock;
  readonly #settings: () => SetHealerOptions;
  #timer: Timer | undefined;
  #crawling: Promise<void> | undefined;
  /** A crawl asked for while one runs. */
  #next: 'none' | 'index' | 'full' = 'none';
  #stopped = false;
  #isHastened = false;
  #endedMs = Number.NEGATIVE_INFINITY;

  constructor(replica: Replica, clock: Clock, settings: () => SetHealerOptions) {
    this.replica = replica;
    this.index = new HealIndex(replica);
    this.#clock = clock;
    this.#settings = settings;
    this.#queue = new PQueue({ concurrency: settings().parallel });
  }

  /** Whether it heals of its own accord. */
  get isEnabled(): boolean {
    return this.#settings().enabled;
  }

  item(gfid: Gfid): HealItem | undefined {
    return this.#items.get(gfid);
  }

  get items(): Iterable<HealItem> {
    return this.#items.values();
  }

  /** Asks for a crawl, now or as soon as the running one is done. */
  trigger(kind: 'index' | 'full'): void {
    if (this.#stopped || !this.#settings().enabled) {
      this.#timer?.cancel();
      this.#timer = undefined;
      return;
    }
    if (this.#crawling) {
      if (this.#next !== 'full') this.#next = kind;
      return;
    }
    this.#timer?.cancel();
    this.#isHastened = false;
    this.#crawling = this.#crawl(kind).finally(() => this.#after());
  }

  /** Something was missed. Where all children are up nobody else would say so: it is looked for soon. */
  hasten(): void {
    const { set } = this.replica;
    if (this.#stopped || this.#isHastened || set.up.length < set.count) return;
    this.#isHastened = true;
    if (this.#crawling) return;
    this.#wait(soonMs);
  }

  #wait(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(ms, () => this.trigger('index'));
  }

  /** The settings are others: the next crawl is due when they say; at once if healing was off. */
  reconfigured(): void {
    if (this.#stopped || this.#crawling) return;
    const isWaiting = this.#timer !== undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    const { enabled, timeoutMs } = this.#settings();
    if (!enabled) return;
    const waitMs = isWaiting ? Math.max(0, this.#endedMs + timeoutMs - this.#clock.nowMs()) : 0;
    this.#wait(this.#isHastened ? Math.min(waitMs, soonMs) : waitMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#queue.clear();
    // Wakes a crawl that waits for room in the queue.
    await this.#queue.add(() => undefined);
    await this.#queue.onIdle();
    await this.#crawling;
  }

  #after(): void {
    this.#crawling = undefined;
    this.#endedMs = this.#clock.nowMs();
    if (this.#stopped) return;
    const next = this.#next;
    this.#next = 'none';
    if (next !== 'none') {
      this.trigger(next);
      return;
    }
    const unfinished = [...this.#items.values()].some((item) => item.last?.state === 'again');
    const soon = unfinished || this.#isHastened;
    this.#wait(soon ? soonMs : this.#settings().timeoutMs);
  }

  async #crawl(kind: 'index' | 'full'): Promise<void> {
    const statistics: CrawlStatistics = {
      type: kind === 'full' ? 'FULL' : 'INDEX',
      startSec: this.#clock.wall().sec,
      endSec: undefined,
      healed: 0,
      splitBrain: 0,
      failed: 0,
    };
    this.statistics.push(statistics);
    this.#queue.concurrency = this.#settings().parallel;
    if (this.statistics.length > keptCrawls) this.statistics.shift();
    try {
      for (let healed = -1; healed !== 0 && !this.#stopped; ) {
        const before = statistics.healed;
        await this.#round(kind, statistics);
        healed = statistics.healed - before;
        if (kind === 'full') break;
      }
    } catch (error) {
      this.replica.warn(`crawl for healing broke off: ${error instanceof Error ? error.message : String(error)}`);
    }
    statistics.endSec = this.#clock.wall().sec;
  }

  /** Once through everything that is pending; what entry heal makes new is healed in the same round. */
  async #round(kind: 'index' | 'full', statistics: CrawlStatistics): Promise<void> {
    this.#before = new Map(this.#items);
    for (const gfid of [...this.#items.keys()]) if (!this.#items.get(gfid)!.running) this.#items.delete(gfid);
    statistics.failed = 0;
    await Parking.of(this.replica)?.ensure(this.replica.set.up);
    statistics.splitBrain = 0;
    if (kind === 'full') await walk(this.replica, rootGfid, async (gfid) => this.#add(gfid, 'full', statistics));
    for (const child of this.replica.set.up) {
      const marked = (await this.index.gfids(child, 'xattrop')) ?? [];
      for (const gfid of marked) await this.#add(gfid, 'index', statistics);
      const dirty = (await this.index.gfids(child, 'dirty')) ?? [];
      for (const gfid of dirty) await this.#add(gfid, 'dirty', statistics);
    }
    await this.#queue.onIdle();
    if (!this.#stopped) await forgetStrayNames(this.replica, this.index, (gfid) => this.#items.has(gfid));
    await this.#purgeParking();
  }

  /** With all replicas there, what is parked on one and nowhere else has no name to come. */
  async #purgeParking(): Promise<void> {
    const { set } = this.replica;
    const parking = Parking.of(this.replica);
    if (!parking || set.up.length < set.count || this.#stopped) return;
    for (const child of set.up) await parking.purge(child);
  }

  async #add(gfid: Gfid, reason: HealItem['reason'], statistics: CrawlStatistics): Promise<void> {
    if (this.#items.has(gfid) || this.#stopped) return;
    const known = this.#before.get(gfid);
    const { sinceMs, attempts } = known?.reason === reason ? known : { sinceMs: this.#clock.nowMs(), attempts: 0 };
    const item: HealItem = { gfid, reason, sinceMs, attempts, running: false, last: undefined };
    this.#items.set(gfid, item);
    if (reason !== 'new') await this.#queue.onSizeLessThan(this.#settings().queueLength);
    void this.#queue.add(() => this.#heal(item, statistics));
  }

  /** For a heal of this set. */
  context(reason: HealItem['reason'], found: (gfid: Gfid) => void, sinceMs = this.#clock.nowMs()): HealContext {
    const { windowBytes, algorithm } = this.#settings();
    const isNew = this.#clock.nowMs() - sinceMs < patientMs;
    const patience = reason === 'dirty' && isNew ? 'try' : 'wait';
    return {
      replica: this.replica,
      index: this.index,
      windowBytes,
      algorithm,
      full: reason === 'full',
      patience,
      found,
    };
  }

  async #heal(item: HealItem, statistics: CrawlStatistics): Promise<void> {
    item.attempts++;
    item.running = true;
    const fresh: Gfid[] = [];
    const context = this.context(item.reason, (gfid) => fresh.push(gfid), item.sinceMs);
    try {
      item.last = await heal(context, item.gfid);
    } catch (error) {
      item.last = { state: 'waiting', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
    item.running = false;
    this.#account(item, statistics);
    for (const gfid of fresh) {
      this.#items.delete(gfid);
      await this.#add(gfid, 'new', statistics);
    }
  }

  #account(item: HealItem, statistics: CrawlStatistics): void {
    const result = item.last!;
    if (result.state === 'healed' || result.state === 'gone') statistics.healed++;
    else if (result.state === 'split-brain') {
      statistics.splitBrain++;
      this.replica.warn(
        `split-brain: ${result.reason}; decide with 'gluster volume heal VOLUME split-brain' or a favorite-child-policy`,
      );
    } else if (result.state === 'waiting') {
      statistics.failed++;
      this.replica.services.log.write('INFO', this.replica.name, `${item.gfid} is not healed yet: ${result.reason}`);
    }
    if (result.state === 'healed' || result.state === 'clean' || result.state === 'gone') this.#items.delete(item.gfid);
  }
}
