import {
  type Args,
  asErrno,
  type ByteString,
  type Call,
  Errno,
  type Failure,
  FileType,
  fail,
  type Gfid,
  type Inode,
  isValidName,
  locOf,
  OptionError,
  type OptionValues,
  type Reply,
  rootCall,
  type Xattrs,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { IndexStore, indexKinds } from './index-store.ts';
import { Listing } from './listing.ts';
import { options } from './options.ts';
import { isOperation, type Operation, parseRequest, type Request } from './requests.ts';
import { eachPage, shaken } from './shaken.ts';
import {
  isZero,
  kindOf,
  kindsIn,
  parseList,
  type WatchedKind,
  type Watchlists,
  wanted,
  watchedKinds,
} from './watchlist.ts';

type Values = OptionValues<typeof options>;

/** Gfids read at a time. */
const pageLength = 1000;

/** What is known of a file: in an index, not in it, or (undefined) not looked yet. */
interface FileState {
  xattrop?: boolean;
  dirty?: boolean;
  /** Set while an operation that moves counters runs: the next one waits for it. */
  tail?: Promise<void> | undefined;
}

/** A change of watched xattrs: what will be there if it succeeds, as far as known beforehand. */
interface Change<R> {
  gfid: Gfid;
  /** Kinds it touches; true: a counter may become other than zero. */
  kinds: ReadonlyMap<WatchedKind, boolean>;
  pendingNames: readonly ByteString[];
  run: () => Promise<R>;
  /** Watched values afterwards. */
  values: (reply: R) => Xattrs;
}

/** Keeps the list of files that need heal: in the index before a counter rises, out of it after all are zero. */
export class IndexXlator extends Xlator {
  readonly #base: string;
  readonly #lists: Watchlists;
  #store: IndexStore | undefined;
  #listing: Listing | undefined;

  constructor(init: XlatorInit) {
    super(init);
    const values = init.options as Values;
    this.#base = values['index-base'];
    if (this.#base === '') throw new OptionError('index-base', "option 'index-base' is required");
    this.#lists = {
      pending: parseList(values['xattrop-pending-watchlist']),
      pending64: parseList(values['xattrop64-watchlist']),
      dirty: parseList(values['xattrop-dirty-watchlist']),
    };
  }

  override async init(): Promise<void> {
    this.#store = new IndexStore(this.#base, this.services.random);
    this.#listing = new Listing(this.#store);
    await this.shake();
  }

  /**
   * The machine went down since this brick last started: what was under a change then may lack what clients were told is there.
   * Its dirty marks say so from here on, before anybody is served.
   */
  protected async shake(): Promise<void> {
    const { store } = this;
    if (!store.isOtherBoot()) return;
    let failed = 0;
    const gfids = [...eachPage((after) => store.names('dirty', undefined, after, pageLength))] as Gfid[];
    for (const gfid of gfids) if (!(await this.#shakeOne(gfid))) failed++;
    if (gfids.length > 0)
      this.services.log.write(
        failed > 0 ? 'ERROR' : 'INFO',
        this.name,
        `the machine went down in the middle of changes of ${gfids.length} files: they are healed from the others${failed > 0 ? `; ${failed} of them could not be marked` : ''}`,
      );
    // What is not marked is tried again at the next start.
    if (failed === 0) store.recordBoot();
  }

  async #shakeOne(gfid: Gfid): Promise<boolean> {
    const call = rootCall(this.services.clock, 'self-heal');
    const loc = locOf(gfid);
    const found = await this.child.lookup(call, { loc, want: wanted(this.#lists, 'dirty') });
    if (!found.ok) return found.errno === Errno.ENOENT || found.errno === Errno.ESTALE;
    const values = shaken(found.xattrs);
    if (Object.keys(values).length === 0) return true;
    return (await this.child.xattrop(call, { loc, operation: 'add32', values })).ok;
  }

  override async fini(): Promise<void> {
    this.#store?.close();
    this.#store = undefined;
  }

  get store(): IndexStore {
    if (!this.#store) throw new Error(`${this.name} is used before init or after fini`);
    return this.#store;
  }

  xattrop(call: Call, args: Args<'xattrop'>): Promise<Reply<'xattrop'>> {
    return this.#count(args.loc.gfid, args, () => this.child.xattrop(call, args), call);
  }

  fxattrop(call: Call, args: Args<'fxattrop'>): Promise<Reply<'fxattrop'>> {
    return this.#count(args.fd.gfid, args, () => this.child.fxattrop(call, args), call);
  }

  async #count(
    gfid: Gfid | null,
    { values, xdata }: Pick<Args<'xattrop'>, 'values' | 'xdata'>,
    run: () => Promise<Reply<'xattrop'>>,
    call: Call,
  ): Promise<Reply<'xattrop'>> {
    const kinds = kindsIn(this.#lists, values);
    const pendingNames = xdata?.pendingNames ?? [];
    if (!gfid || (kinds.size === 0 && pendingNames.length === 0)) return run();
    const change = {
      gfid,
      kinds,
      pendingNames,
      run,
      values: (reply: Reply<'xattrop'>) => (reply.ok ? reply.xattrs : {}),
    };
    const reply = await this.#change(change);
    if (reply.ok && kinds.has('xattrop') && this.#isNewAccusation(values, reply.xattrs))
      this.propagate({ type: 'upcall', gfid, what: 'accused', except: call.clientId });
    return reply;
  }

  /** A counter that was zero: other clients may still be reading from the replica it speaks of. */
  #isNewAccusation(added: Xattrs, now: Xattrs): boolean {
    return Object.entries(added).some(([name, by]) => {
      const is = now[name];
      const isPending = kindOf(this.#lists, name) === 'xattrop';
      return isPending && is !== undefined && Buffer.compare(by, is) === 0 && by.some((byte) => byte !== 0);
    });
  }

  setxattr(call: Call, args: Args<'setxattr'>): Promise<Reply<'setxattr'>> {
    return this.#set(args.loc.gfid, args.xattrs, () => this.child.setxattr(call, args));
  }

  fsetxattr(call: Call, args: Args<'fsetxattr'>): Promise<Reply<'fsetxattr'>> {
    return this.#set(args.fd.gfid, args.xattrs, () => this.child.fsetxattr(call, args));
  }

  removexattr(call: Call, args: Args<'removexattr'>): Promise<Reply<'removexattr'>> {
    return this.#remove(args.loc.gfid, args.name, () => this.child.removexattr(call, args));
  }

  fremovexattr(call: Call, args: Args<'fremovexattr'>): Promise<Reply<'fremovexattr'>> {
    return this.#remove(args.fd.gfid, args.name, () => this.child.fremovexattr(call, args));
  }

  async #set<R extends { ok: boolean }>(
    gfid: Gfid | null,
    xattrs: Xattrs,
    run: () => Promise<R>,
  ): Promise<R | Failure> {
    const kinds = kindsIn(this.#lists, xattrs);
    if (!gfid || kinds.size === 0) return run();
    return this.#change({ gfid, kinds, pendingNames: [], run, values: (reply) => (reply.ok ? xattrs : {}) });
  }

  async #remove<R extends { ok: boolean }>(
    gfid: Gfid | null,
    name: ByteString,
    run: () => Promise<R>,
  ): Promise<R | Failure> {
    const kind = kindOf(this.#lists, name);
    if (!gfid || !kind) return run();
    return this.#change({ gfid, kinds: new Map([[kind, false]]), pendingNames: [], run, values: () => ({}) });
  }

  create(call: Call, args: Args<'create'>): Promise<Reply<'create'>> {
    return this.#make(args, () => this.child.create(call, args));
  }

  mknod(call: Call, args: Args<'mknod'>): Promise<Reply<'mknod'>> {
    return this.#make(args, () => this.child.mknod(call, args));
  }

  mkdir(call: Call, args: Args<'mkdir'>): Promise<Reply<'mkdir'>> {
    return this.#make(args, () => this.child.mkdir(call, args));
  }

  symlink(call: Call, args: Args<'symlink'>): Promise<Reply<'symlink'>> {
    return this.#make(args, () => this.child.symlink(call, args));
  }

  put(call: Call, args: Args<'put'>): Promise<Reply<'put'>> {
    return this.#make(args, () => this.child.put(call, args));
  }

  icreate(call: Call, args: Args<'icreate'>): Promise<Reply<'icreate'>> {
    return this.#make(args, () => this.child.icreate(call, args));
  }

  /** What had no name is listed only now, with the counters that it has. */
  async link(call: Call, args: Args<'link'>): Promise<Reply<'link'>> {
    const { gfid } = args.from;
    if (!gfid || args.xdata?.nameless !== true) return this.child.link(call, args);
    const own = rootCall(this.services.clock, 'self-heal');
    return this.#alone(gfid, async (state) => {
      for (const kind of watchedKinds) {
        const found = await this.child.lookup(own, { loc: locOf(gfid), want: wanted(this.#lists, kind) });
        const isMarked = found.ok && kindsIn(this.#lists, found.xattrs).get(kind) === true;
        if (!isMarked || state[kind]) continue;
        const failed = this.store.add(kind, gfid);
        if (failed < 0) return fail(asErrno(-failed));
        state[kind] = true;
      }
      return this.child.link(call, args);
    });
  }

  /** New objects may be born with counters. */
  async #make<R extends { ok: boolean }>(
    { gfid, initial = {} }: { gfid: Gfid; initial?: Xattrs },
    run: () => Promise<R>,
  ): Promise<R | Failure> {
    const kinds = kindsIn(this.#lists, initial);
    if (![...kinds.values()].includes(true)) return run();
    return this.#change({ gfid, kinds, pendingNames: [], run, values: (reply) => (reply.ok ? initial : {}) });
  }

  /** One change at a time of each file, so that what the last reply says is how things are. */
  async #change<R extends { ok: boolean }>(change: Change<R>): Promise<R | Failure> {
    return this.#alone(change.gfid, async (state) => {
      for (const [kind, rises] of change.kinds) {
        if (!rises || state[kind]) continue;
        const failed = this.store.add(kind, change.gfid);
        if (failed < 0) return fail(asErrno(-failed));
        state[kind] = true;
      }
      const failed = this.#addNames(change);
      if (failed) return failed;
      const reply = await change.run();
      const now = change.values(reply);
      const after = kindsIn(this.#lists, now);
      for (const kind of change.kinds.keys())
        if (after.get(kind) !== true) await this.#clear(kind, change.gfid, state, this.#isAllTold(kind, now));
      return reply;
    });
  }

  #addNames({ gfid, pendingNames }: Pick<Change<unknown>, 'gfid' | 'pendingNames'>): Failure | undefined {
    for (const name of pendingNames) {
      const failed = isValidName(name) ? this.store.addName(gfid, name) : -Errno.EINVAL;
      if (failed < 0) return fail(asErrno(-failed));
    }
    return undefined;
  }

  /** Whether these are all the counters of a kind that there can be: the dirty mark is one, those who may be accused are any number. */
  #isAllTold(kind: WatchedKind, now: Xattrs): boolean {
    return kind === 'dirty' && this.#lists.dirty.every((name) => now[name] !== undefined);
  }

  /** Takes a file out of an index unless one of its counters there is other than zero. True if it is out. `areZero`: it is known that none is. */
  async #clear(kind: WatchedKind, gfid: Gfid, state: FileState, areZero = false): Promise<boolean> {
    if (state[kind] === false) return true;
    if (state[kind] === undefined && !this.store.has(kind, gfid)) {
      state[kind] = false;
      return true;
    }
    state[kind] = true;
    if (!areZero && !(await this.#allZero(kind, gfid))) return false;
    if (this.store.remove(kind, gfid) < 0) return false;
    state[kind] = false;
    if (kind === 'xattrop') this.store.removeParent(gfid);
    return true;
  }

  async #allZero(kind: WatchedKind, gfid: Gfid): Promise<boolean> {
    const call = rootCall(this.services.clock, 'self-heal');
    const found = await this.child.lookup(call, { loc: locOf(gfid), want: wanted(this.#lists, kind) });
    if (!found.ok) return found.errno === Errno.ENOENT || found.errno === Errno.ESTALE;
    // Open and without a name, nobody will heal it. `link` lists it again.
    if (found.iatt.nlink === 0 && found.iatt.type !== FileType.directory) return true;
    return Object.entries(found.xattrs).every(([name, value]) => kindOf(this.#lists, name) !== kind || isZero(value));
  }

  async #alone<T>(gfid: Gfid, run: (state: FileState) => Promise<T>): Promise<T> {
    const { inodes } = this.services;
    const inode: Inode = inodes.hold(inodes.get(gfid));
    inode.slots[this.slot] ??= {};
    const state = inode.slots[this.slot] as FileState;
    const before = state.tail;
    let leave: () => void = () => {};
    const tail = new Promise<void>((resolve) => {
      leave = resolve;
    });
    state.tail = tail;
    try {
      if (before) await before;
      return await run(state);
    } finally {
      if (state.tail === tail) state.tail = undefined;
      leave();
      inodes.release(inode);
    }
  }

  async ipc(call: Call, args: Args<'ipc'>): Promise<Reply<'ipc'>> {
    const { operation, data } = args;
    if (!isOperation(operation)) return this.child.ipc(call, args);
    if (!call.internal && call.uid !== 0) return fail(Errno.EPERM);
    const request = parseRequest(operation, data);
    if (!request) return fail(Errno.EINVAL);
    const answer = await this.#answers[operation](request as never);
    if (typeof answer === 'number') return fail(asErrno(-answer));
    return { ok: true, data: Buffer.from(JSON.stringify(answer)) };
  }

  /** What is asked by ipc; a negative number is an errno. */
  readonly #answers: { [O in Operation]: (request: Request<O>) => object | number | Promise<object | number> } = {
    'index.list': ({ kind, parent, after, limit }) =>
      parent !== undefined && kind !== 'entry-changes'
        ? -Errno.EINVAL
        : this.#listing!.page(kind, parent, after, limit),
    'index.count': ({ kind }) => ({ count: this.store.count(kind) }),
    'index.forgetName': ({ parent, name }) => this.store.removeName(parent, name) || {},
    'index.forgetParent': ({ parent }) => this.store.removeParent(parent) || {},
    'index.purge': async ({ gfid }) => {
      const out = await this.#alone(gfid, async (state) => {
        const cleared: boolean[] = [];
        for (const kind of watchedKinds) cleared.push(await this.#clear(kind, gfid, state));
        return cleared.every(Boolean);
      });
      return { purged: out };
    },
  };

  override dump(): Record<string, string | number | boolean> {
    if (!this.#store) return { 'index-base': this.#base };
    const counts = Object.fromEntries(indexKinds.map((kind) => [kind, this.store.count(kind)]));
    // The key that GlusterFS's tools look for.
    return { 'index-base': this.#base, ...counts, 'xattrop-pending-count': this.store.count('xattrop') };
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/index',
  description: 'Keeps the list of files and names that need heal.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'nothing',
  create: (init) => new IndexXlator(init as XlatorInit),
};
