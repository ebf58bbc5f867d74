/** performance/md-cache: keeps attributes and some xattrs for a short while, or until bricks tell of a change. */
import {
  type Args,
  type Call,
  type Dirent,
  Errno,
  FileType,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type Gfid,
  type GraphEvent,
  type OptionTable,
  type OptionValues,
  type RawReply,
  type RawStep,
  type Reply,
  type Success,
  type Xattrs,
  type Xdata,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { lockedBy } from '../../lib/locked.ts';
import { losesUpcalls } from '../../lib/loses-upcalls.ts';
import { iattsOf, isChange, type Subjects, subjectsOf, subjectsOfSteps } from '../../lib/subjects.ts';
import { type Asked, Cache } from './cache.ts';
import { ListAhead } from './list-ahead.ts';
import { options } from './options.ts';
import { cachedXattrs } from './xattr-names.ts';

type Values = OptionValues<typeof options>;

class MdCache extends Xlator {
  readonly #cache: Cache;
  readonly #ahead: ListAhead;
  #values: Values;
  #xattrs: ReadonlySet<string>;
  #statfs: { reply: Reply<'statfs'>; atMs: number } | undefined;

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    const { inodes, clock, log } = init.services;
    this.#cache = new Cache(inodes, this.slot, () => clock.nowMs());
    const below = {
      opendir: (call: Call, args: Args<'opendir'>) => this.child.opendir(call, args),
      readdirp: (call: Call, args: Args<'readdirp'>) => this.#readdirp(call, args, true),
    };
    this.#ahead = new ListAhead(below, clock, (error) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      log.write('ERROR', this.name, `a directory is not listed ahead, its subvolume threw: ${text}`);
    });
    this.#values = init.options;
    this.#xattrs = cachedXattrs(init.options);
    this.#cache.timeoutMs = init.options['md-cache-timeout'] * 1000;
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#values = values as Values;
    this.#xattrs = cachedXattrs(this.#values);
    this.#cache.timeoutMs = this.#values['md-cache-timeout'] * 1000;
    // What was kept may have been chosen by other rules.
    this.#clear();
    this.#statfs = undefined;
  }

  protected override forget(): void {
    this.#cache.forgot();
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'upcall' && (event.what === 'data' || event.what === 'metadata' || event.what === 'entry'))
      this.#cache.invalidate(event.gfid, event.what);
    // Without a connection nobody tells of changes.
    if (losesUpcalls(event)) this.#clear();
    super.notify(event, from);
  }

  override async fini(): Promise<void> {
    this.#ahead.stop();
  }

  #clear(): void {
    this.#cache.clear();
    this.#ahead.stop();
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const own = this.#ownFops()[name] as Fop<N> | undefined;
    const down = next as Fop<FopName>;
    const run: Fop<FopName> = (call, args) => {
      if (this.#values['pass-through']) return down(call, args);
      return own ? (own(call, args as Args<N>) as Promise<Reply<FopName>>) : this.#pass(name, down, call, args);
    };
    return run as unknown as Fops[N];
  }

  #ownFops(): Partial<Fops> {
    return {
      lookup: (call, args) => this.#lookup(call, args),
      open: (call, args) => this.#open(call, args),
      stat: (call, args) => this.#stat('stat', call, args, args.loc.gfid),
      fstat: (call, args) => this.#stat('fstat', call, args, args.fd.gfid),
      getxattr: (call, args) => this.#getxattr('getxattr', call, args, args.loc.gfid),
      fgetxattr: (call, args) => this.#getxattr('fgetxattr', call, args, args.fd.gfid),
      readdir: (call, args) => this.#readdir(call, args),
      readdirp: (call, args) => this.#readdirp(call, args),
      statfs: (call, args) => this.#statfsOf(call, args),
      compound: (call, args) => this.#compound(call, args),
    };
  }

  // --- questions ---

  async #stat<N extends 'stat' | 'fstat'>(fop: N, call: Call, args: Args<N>, gfid: Gfid | null): Promise<Reply<N>> {
    const known = gfid ? this.#cache.iattOf(gfid) : undefined;
    this.#count(known !== undefined);
    if (known) return { ok: true, iatt: known, xdata: { ageMs: this.#cache.ageMs(known.gfid) } } as unknown as Reply<N>;
    return this.#pass(fop, this.child[fop] as Fop<FopName>, call, args as Args<FopName>) as Promise<Reply<N>>;
  }

  async #lookup(call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
    const known = call.internal ? undefined : this.#knownLookup(args);
    this.#count(known !== undefined);
    if (known) {
      if (this.#cache.takeAhead(known.iatt.gfid)) this.#ahead.hit(args.loc.parent ?? known.iatt.gfid);
      return known;
    }
    const asked = this.#cache.ask();
    const own = call.internal ? [] : [...this.#xattrs];
    const reply = await this.child.lookup(call, { ...args, want: [...(args.want ?? []), ...own] });
    this.#learnLookup(args, reply, asked, own.length > 0 || this.#xattrs.size === 0);
    if (reply.ok && args.loc.parent !== null && !call.internal) this.#missed(args.loc.parent, call);
    if (!reply.ok || own.length === 0) return reply;
    return { ...reply, xattrs: pick(reply.xattrs, args.want ?? []) };
  }

  #missed(parent: Gfid, call: Call): void {
    const { timeoutMs } = this.#cache;
    if (this.#values['list-ahead'] && timeoutMs > 0) this.#ahead.missed(parent, call, timeoutMs);
  }

  /** A file that has been seen has its gfid: the one that the caller proposes for a file without does not matter. */
  #knownLookup({ loc, want }: Args<'lookup'>): Success<'lookup'> | undefined {
    const { parent, name } = loc;
    const isNamed = parent !== null && name !== null;
    const gfid = loc.gfid ?? (isNamed ? this.#cache.targetOf(parent, name) : undefined);
    if (!gfid || (isNamed && !this.#cache.isBound(gfid, parent, name))) return undefined;
    const iatt = this.#cache.iattOf(gfid);
    if (!iatt) return undefined;
    const postParent = parent === null ? iatt : this.#cache.iattOf(parent);
    if (!postParent) return undefined;
    const xdata = { ageMs: this.#cache.ageMs(gfid, isNamed) };
    if (!want || want.length === 0) return { ok: true, iatt, postParent, xattrs: {}, xdata };
    const xattrs = want.every((one) => this.#xattrs.has(one)) ? this.#cache.xattrsOf(gfid) : undefined;
    return xattrs && { ok: true, iatt, postParent, xattrs: pick(xattrs, want), xdata };
  }

  #learnLookup({ loc }: Args<'lookup'>, reply: Reply<'lookup'>, asked: Asked, withXattrs: boolean): void {
    const { parent, name } = loc;
    if (parent !== null && name !== null) {
      if (reply.ok) this.#cache.learnName(parent, name, reply.iatt.gfid, asked);
      else if (reply.errno === Errno.ENOENT) this.#cache.learnName(parent, name, null, asked);
    }
    if (!reply.ok) return;
    this.#learn('lookup', reply, asked);
    if (withXattrs) this.#cache.learnXattrs(reply.iatt.gfid, pick(reply.xattrs, [...this.#xattrs]), asked);
  }

  /** Who opens a file sees what others had written and closed before: attributes of before are not his. */
  async #open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    const reply = (await this.#pass('open', this.child.open as Fop<FopName>, call, args)) as Reply<'open'>;
    if (reply.ok && !reply.iatt) this.#cache.doubt(args.fd.gfid);
    return reply;
  }

  async #getxattr<N extends 'getxattr' | 'fgetxattr'>(
    fop: N,
    call: Call,
    args: Args<N>,
    gfid: Gfid | null,
  ): Promise<Reply<N>> {
    const { name } = args as { name?: string };
    const known = gfid && name !== undefined && this.#xattrs.has(name) ? this.#cache.xattrsOf(gfid) : undefined;
    if (name !== undefined && this.#xattrs.has(name)) this.#cache.counts[known ? 'xattrHits' : 'xattrMisses']++;
    if (!known) return (this.child[fop] as Fop<N>)(call, args);
    const value = known[name!];
    return value ? ({ ok: true, xattrs: { [name!]: value } } as unknown as Reply<N>) : fail(Errno.ENODATA);
  }

  async #readdir(call: Call, args: Args<'readdir'>): Promise<Reply<'readdir'>> {
    if (!this.#values['force-readdirp']) return this.child.readdir(call, args);
    const reply = await this.#readdirp(call, args);
    if (!reply.ok) return reply;
    return { ...reply, entries: reply.entries.map((entry) => ({ ...entry, iatt: null, xattrs: null })) };
  }

  async #readdirp(call: Call, args: Args<'readdirp'>, isAhead = false): Promise<Reply<'readdirp'>> {
    const asked = this.#cache.ask();
    const reply = await this.child.readdirp(call, args);
    if (reply.ok) for (const entry of reply.entries) this.#learnEntry(args.fd.gfid, entry, asked, isAhead);
    return reply;
  }

  /** What others changed is told to those above, who may have kept more than attributes. Answers of caches below are of before. */
  #learn(fop: FopName, reply: { readonly xdata?: Xdata }, asked: Asked): void {
    if (reply.xdata?.ageMs !== undefined) return;
    for (const iatt of iattsOf(fop, reply)) {
      const changed = this.#cache.learnIatt(iatt, asked);
      if (changed && iatt.type === FileType.regular && this.#values['global-cache-invalidation'])
        this.propagate({ type: 'upcall', gfid: iatt.gfid, what: 'data' });
    }
  }

  #learnEntry(parent: Gfid, { name, iatt }: Dirent, asked: Asked, isAhead: boolean): void {
    if (!iatt || name === '.' || name === '..') return;
    for (const known of iattsOf('stat', { iatt })) {
      this.#cache.learnIatt(known, asked);
      this.#cache.learnName(parent, name, known.gfid, asked, isAhead);
    }
  }

  async #statfsOf(call: Call, args: Args<'statfs'>): Promise<Reply<'statfs'>> {
    const nowMs = this.services.clock.nowMs();
    const kept = this.#statfs;
    if (this.#values['md-cache-statfs'] && kept && nowMs - kept.atMs < this.#cache.timeoutMs) return kept.reply;
    const reply = await this.child.statfs(call, args);
    if (reply.ok) this.#statfs = { reply, atMs: nowMs };
    return reply;
  }

  #count(hit: boolean): void {
    this.#cache.counts[hit ? 'hits' : 'misses']++;
  }

  // --- everything else ---

  async #pass(fop: FopName, down: Fop<FopName>, call: Call, args: Args<FopName>): Promise<Reply<FopName>> {
    if (isChange(fop, args)) {
      const change = this.#begin(subjectsOf(fop, args));
      let reply: Reply<FopName> | undefined;
      try {
        reply = await down(call, args);
      } finally {
        const asked = this.#cache.end(change, change.begun);
        if (reply?.ok) this.#learnChange(fop, args, reply, asked);
      }
      return reply;
    }
    const asked = this.#cache.ask();
    const reply = await down(call, args);
    const locked = lockedBy(fop, args, reply);
    if (locked) this.#cache.doubt(locked);
    if (reply.ok) this.#learn(fop, reply, asked);
    else if (reply.errno === Errno.ESTALE || reply.errno === Errno.ENOENT)
      for (const gfid of subjectsOf(fop, args).gfids) this.#cache.invalidate(gfid, 'metadata');
    return reply;
  }

  async #compound(call: Call, args: Args<'compound'>): Promise<Reply<'compound'>> {
    const change = this.#begin(subjectsOfSteps(args.steps));
    let reply: Reply<'compound'> | undefined;
    try {
      reply = await this.child.compound(call, args);
    } finally {
      const asked = this.#cache.end(change, change.begun);
      if (reply?.ok) this.#learnSteps(args.steps, reply.replies, asked);
    }
    return reply;
  }

  #learnSteps(steps: readonly RawStep[], replies: readonly RawReply[], asked: Asked): void {
    replies.forEach((one, i) => {
      const step = steps[i];
      if (!step || !one.ok) return;
      this.#learnChange(step.fop as FopName, step.args, one as Reply<FopName> & { ok: true }, asked);
    });
  }

  /** All that the change touches; names whose inode nobody knows may lead to any: then nothing is believed. */
  #begin({ gfids, names }: Subjects): Gfid[] & { begun: Asked } {
    const all = new Set(gfids);
    for (const { parent, name } of names) {
      const target = this.#cache.targetOf(parent, name);
      if (target === undefined) this.#cache.clear();
      else if (target !== null) all.add(target);
    }
    const list = [...all];
    return Object.assign(list, { begun: this.#cache.begin(list) });
  }

  #learnChange(fop: FopName, args: object, reply: Reply<FopName> & { ok: true }, asked: Asked): void {
    for (const iatt of iattsOf(fop, reply)) this.#cache.learnIatt(iatt, asked);
    this.#learnNames(fop, args, reply, asked);
  }

  #learnNames(fop: FopName, args: object, reply: object, asked: Asked): void {
    const { loc, from, to, flags } = args as Partial<Args<'rename'> & Args<'mknod'>>;
    const made = (reply as { iatt?: { gfid: Gfid } }).iatt?.gfid ?? null;
    const gone = fop === 'unlink' || fop === 'rmdir';
    const bind = (at: Args<'mknod'>['loc'] | undefined, gfid: Gfid | null) => {
      if (at?.parent == null || at.name === null) return;
      this.#cache.renamed(at.parent, at.name, gfid);
      if (gfid) this.#cache.learnName(at.parent, at.name, gfid, asked);
    };
    if (gone) bind(loc, null);
    else if (fop === 'rename' && flags === 0) {
      bind(from, null);
      bind(to, made);
    } else if (fop === 'rename') {
      // An exchange leaves both names, the other way round.
      this.#cache.clear();
    } else if (fop === 'link') bind(to, made);
    else if (['create', 'mknod', 'mkdir', 'symlink', 'put'].includes(fop)) bind(loc, made);
  }

  override dump(): Record<string, string | number> {
    const { hits, misses, xattrHits, xattrMisses, invalidations } = this.#cache.counts;
    return {
      stat_hit_count: hits,
      stat_miss_count: misses,
      xattr_hit_count: xattrHits,
      xattr_miss_count: xattrMisses,
      stat_invalidations_received: invalidations,
      listings_ahead: this.#ahead.counts.listings,
      entries_listed_ahead: this.#ahead.counts.entries,
      lookups_answered_ahead: this.#ahead.counts.hits,
    };
  }
}

function pick(xattrs: Xattrs, names: readonly string[]): Xattrs {
  const wanted = (name: string) =>
    names.some((one) => (one.endsWith('*') ? name.startsWith(one.slice(0, -1)) : one === name));
  return Object.fromEntries(Object.entries(xattrs).filter(([name]) => wanted(name)));
}

export const xlator: XlatorType<typeof options> = {
  type: 'performance/md-cache',
  description: 'Keeps attributes and xattrs for a short while.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new MdCache(init),
};
