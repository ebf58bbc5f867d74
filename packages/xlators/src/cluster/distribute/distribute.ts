/** The translator: its children, what it knows of inodes, and helpers that the operations share. */
import {
  type Call,
  Errno,
  type Failure,
  type Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type Gfid,
  type GraphEvent,
  type Iatt,
  type Inode,
  type Loc,
  nullGfid,
  type OptionTable,
  type OptionValues,
  rootGfid,
  type Subvolume,
  Xlator,
  type XlatorInit,
} from '@mortar/core';
import { handlers, singleChildHandlers } from './handlers.ts';
import { NameHasher } from './hash.ts';
import { childOfHash, invalidCommit, type Layout } from './layout.ts';
import { Leftovers } from './leftovers.ts';
import { discover } from './lookup.ts';
import { type XattrNames, xattrNames } from './names.ts';
import { Offers } from './offers.ts';
import type { options } from './options.ts';
import { removeLeftover } from './rename-file.ts';
import { Space } from './space.ts';
import type { DirectoryState, FdState, FileState, State } from './state.ts';
import { CommitWatch } from './volume-commit.ts';

export type DistributeOptions = OptionValues<typeof options>;
type Health = 'unknown' | 'up' | 'down';

export class Distribute extends Xlator {
  options: DistributeOptions;
  readonly names: XattrNames;
  /** By child, what is remembered of a file that is there and where nothing else is to be said of it. */
  settledAt: readonly FileState[] = [];
  hasher: NameHasher;
  space!: Space;
  /** Commit hash of the volume, from the root's xattr: 0 before the first rebalance. */
  volumeCommit = 0;
  readonly commits = new CommitWatch(this);
  /** Raised when a child comes back: layouts read before may lack its part. */
  generation = 0;
  #health: Health[] = [];
  #reported: Health = 'unknown';
  #decommissioned: ReadonlySet<string>;
  #lockSerial = 0;
  readonly leftovers = new Leftovers(this);
  readonly offers = new Offers();

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    this.options = init.options;
    this.names = xattrNames(init.options['xattr-name']);
    this.hasher = hasherOf(init.options);
    this.#decommissioned = decommissionedOf(init.options);
  }

  override bind(...args: Parameters<Xlator['bind']>): void {
    const [children] = args;
    this.#health = children.map(() => 'unknown');
    this.settledAt = children.map((_, child) => ({ kind: 'file', child }));
    this.space = new Space(this.services.clock, children.length, this.#limits(), (i, loc) =>
      this.isUp(i) ? this.children[i]!.statfs(this.ownCall(), { loc }) : Promise.resolve(fail(Errno.ENOTCONN)),
    );
    super.bind(...args);
  }

  protected override bindFop<N extends FopName>(name: N, _next: Fops[N]): Fops[N] {
    const handler = handlers[name] as (d: Distribute, ...args: Parameters<Fop<N>>) => ReturnType<Fop<N>>;
    if (this.children.length === 1) {
      const own = singleChildHandlers[name] as typeof handler | undefined;
      if (!own) return this.child[name] as Fops[N];
      return ((call, args) => own(this, call, args)) as Fop<N> as Fops[N];
    }
    return ((call, args) => handler(this, call, args)) as Fop<N> as Fops[N];
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    const given = values as DistributeOptions;
    // First: a bad pattern is refused and changes nothing.
    this.hasher = hasherOf(given);
    this.options = given;
    this.space.limits = this.#limits();
    this.#decommissioned = decommissionedOf(this.options);
  }

  #limits() {
    return { disk: this.options['min-free-disk'], inodesPercent: this.options['min-free-inodes'] };
  }

  // --- children ---

  /** Children that aren't known to be down; a child that never told is tried. */
  isUp(child: number): boolean {
    return this.#health[child] !== 'down';
  }

  isUsable(child: number): boolean {
    return this.isUp(child) && !this.leaves(child);
  }

  /** The child leaves the volume: its files are brought elsewhere, then it is shut down. */
  leaves(child: number): boolean {
    return this.#decommissioned.has(this.childName(child));
  }

  childName(child: number): string {
    return this.children[child]!.xlator.name;
  }

  childNamed(name: string): number | undefined {
    const found = this.children.findIndex((child) => child.xlator.name === name);
    return found < 0 ? undefined : found;
  }

  get indices(): number[] {
    return this.children.map((_, i) => i);
  }

  get someDown(): boolean {
    return this.#health.includes('down');
  }

  /** Asks children in parallel; those that are down answer ENOTCONN at once. Replies in the order of `among`. */
  ask<R>(
    among: readonly number[],
    run: (child: Subvolume, index: number) => Promise<R | Failure>,
  ): Promise<(R | Failure)[]> {
    return Promise.all(
      among.map(async (i) => (this.isUp(i) ? run(this.children[i]!, i) : (fail(Errno.ENOTCONN) as Failure))),
    );
  }

  // --- events ---

  override notify(event: GraphEvent, from: Xlator | null): void {
    const child = this.children.findIndex((one) => one.xlator === from);
    if (child < 0 || (event.type !== 'child-up' && event.type !== 'child-down')) {
      this.propagate(event);
      return;
    }
    const health = event.type === 'child-up' ? 'up' : 'down';
    if (health === 'up' && this.#health[child] === 'down') this.generation++;
    this.#health[child] = health;
    this.#report();
    if (health === 'down') this.propagate({ type: 'upcalls-lost' });
    if (health === 'up') this.leftovers.retry((call, leftover) => removeLeftover(this, call, leftover));
  }

  /** Up when every child has answered once and one is up; then down when all are (or one: assert-no-child-down). */
  #report(): void {
    if (this.#health.includes('unknown')) return;
    const strict = this.options['assert-no-child-down'];
    const up = strict ? !this.someDown : this.#health.includes('up');
    const health = up ? 'up' : 'down';
    if (health === this.#reported) return;
    this.#reported = health;
    this.propagate({ type: up ? 'child-up' : 'child-down' });
  }

  // --- what is known of inodes ---

  stateOf(gfid: Gfid): State | undefined {
    return this.services.inodes.find(gfid)?.slots[this.slot] as State | undefined;
  }

  remember(gfid: Gfid, state: State): Inode {
    const inode = this.services.inodes.get(gfid);
    inode.slots[this.slot] = state;
    return inode;
  }

  forgetState(gfid: Gfid): void {
    const inode = this.services.inodes.find(gfid);
    if (inode) inode.slots[this.slot] = undefined;
  }

  /** What the inode is and where; the children are asked if it is not known. */
  async locate(call: Call, gfid: Gfid | null): Promise<State | Failure> {
    if (gfid === null || gfid === nullGfid) return fail(Errno.ESTALE);
    const known = this.stateOf(gfid);
    if (known && (known.kind === 'file' || known.generation === this.generation)) return known;
    const found = await discover(this, call, gfid);
    if (!found.ok) return known && found.errno === Errno.ENOTCONN ? known : found;
    return this.stateOf(gfid) ?? fail(Errno.ESTALE);
  }

  async locateDirectory(call: Call, gfid: Gfid | null): Promise<DirectoryState | Failure> {
    const state = await this.locate(call, gfid);
    if (isFailure(state)) return state;
    return state.kind === 'directory' ? state : fail(Errno.ENOTDIR);
  }

  /** By loc: its gfid, or what its name leads to. */
  async locateLoc(call: Call, loc: Loc): Promise<(State & { gfid: Gfid }) | Failure> {
    let gfid = loc.gfid;
    if (gfid === null || gfid === nullGfid) {
      const found = await this.ops.lookup(call, { loc });
      if (!found.ok) return found;
      gfid = found.iatt.gfid;
    }
    const state = await this.locate(call, gfid);
    return isFailure(state) ? state : { ...state, gfid };
  }

  rememberFd(fd: Fd, state: FdState): void {
    fd.slots[this.slot] = state;
  }

  /** Undefined: it was not opened through here, and is served by gfid. */
  fdState(fd: Fd): FdState | undefined {
    return fd.slots[this.slot] as FdState | undefined;
  }

  async locateFd(call: Call, fd: Fd): Promise<State | Failure> {
    return this.stateOf(fd.gfid) ?? (fd.slots[this.slot] as State | undefined) ?? this.locate(call, fd.gfid);
  }

  // --- names ---

  /** The child that a name hashes to; the reason when there is none or it is down. */
  hashedChild(layout: Layout, name: string): number | Failure {
    const child = childOfHash(layout, this.hasher.hash(name));
    if (child !== undefined) return this.isUp(child) ? child : fail(Errno.ENOTCONN);
    return fail(layout.parts.some((part) => part.state === 'down') || this.someDown ? Errno.ENOTCONN : Errno.EIO);
  }

  /** The child that a name of this directory hashes to. */
  async hashedOf(call: Call, parent: Gfid | null, name: string | null): Promise<number | Failure> {
    if (parent === null || name === null) return fail(Errno.EINVAL);
    const directory = await this.locateDirectory(call, parent);
    if (isFailure(directory)) return directory;
    const child = this.hashedChild(directory.layout, name);
    if (!isFailure(child) || child.errno !== Errno.EIO) return child;
    // A hole is what one reads while somebody writes the layout.
    const found = await discover(this, call, parent);
    if (!found.ok) return found;
    const now = await this.locateDirectory(call, parent);
    return isFailure(now) ? now : this.hashedChild(now.layout, name);
  }

  /** The child that locks of a directory are taken on: the same for all clients. */
  lockChild(gfid: Gfid, state: DirectoryState): number {
    return gfid === rootGfid ? 0 : (state.mds ?? 0);
  }

  /** Word 0 of the layouts of new directories. */
  get newCommit(): number {
    return this.options['lookup-optimize'] ? this.volumeCommit : invalidCommit;
  }

  // --- calls on the file system's own behalf ---

  ownCall(call?: Call): Call {
    const time = call?.time ?? this.services.clock.wall();
    const own: Call = { uid: 0, gid: 0, groups: [], pid: 0, lockOwner: '', clientId: call?.clientId ?? '', time };
    if (call?.deadlineMs !== undefined) own.deadlineMs = call.deadlineMs;
    own.internal = 'rebalance';
    return own;
  }

  /** As `owner` would have made it, without being asked for permission. */
  callAs(call: Call, owner: Pick<Iatt, 'uid' | 'gid'>): Call {
    return { ...this.ownCall(call), uid: owner.uid, gid: owner.gid };
  }

  nextLockOwner(): string {
    const random = Buffer.from(this.services.random.bytes(8)).toString('hex');
    return `${random}${(++this.#lockSerial).toString(16).padStart(8, '0')}`;
  }

  warn(text: string): void {
    this.services.log.write('WARNING', this.name, text);
  }

  override dump(): Record<string, string | number | boolean> {
    const dump: Record<string, string | number | boolean> = { subvol_cnt: this.children.length };
    this.children.forEach((child, i) => {
      dump[`subvolumes[${i}]`] = `${this.type}.${child.xlator.name}`;
      dump[`subvolume_status[${i}]`] = this.#health[i] === 'up' ? 1 : 0;
    });
    dump.search_unhashed = this.options['lookup-unhashed'];
    dump.lookup_optimize = this.options['lookup-optimize'];
    dump.vol_commit_hash = this.volumeCommit;
    dump.gen = this.generation;
    dump.min_free_disk =
      'percent' in this.options['min-free-disk']
        ? this.options['min-free-disk'].percent
        : this.options['min-free-disk'].bytes;
    dump.min_free_inodes = this.options['min-free-inodes'];
    dump['use-readdirp'] = this.options['use-readdirp'];
    return dump;
  }
}

export function isFailure<T extends object>(value: T | Failure | number): value is Failure {
  return typeof value === 'object' && 'ok' in value && value.ok === false;
}

function hasherOf(options: DistributeOptions): NameHasher {
  return new NameHasher(options['extra-hash-regex'], options['rsync-hash-regex']);
}

function decommissionedOf(options: DistributeOptions): ReadonlySet<string> {
  return new Set(options['decommissioned-bricks'].split(/[\s,]+/).filter((name) => name !== ''));
}
