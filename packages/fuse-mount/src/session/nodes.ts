/** What the kernel knows of the volume: node numbers, each with how often the kernel has looked it up. */
import { strict as assert } from 'node:assert';
import {
  type ByteString,
  FileType,
  type Gfid,
  type Iatt,
  type Inode,
  type InodeTable,
  isKnownIatt,
  rootGfid,
} from '@mortar/core';
import { LockBook } from '@mortar/host/client/lock-book.ts';
import { inodeNumber, rootNodeId, shortInodeNumber } from '../protocol/index.ts';
import type { Handle } from './handles.ts';

const noHandles: ReadonlySet<Handle> = new Set();
/** Until who was told attributes has surely been woken. */
export const wakingMs = 50;
/** Of a file that was not seen, or was changed to nobody knows what. */
const unknownStamp = -1;
const never = -(2 ** 30);
/** When the kernel takes what it is told whatever it was told before: in answers to changes. */
export const always = 2 ** 52;

export class Node {
  /** Never used twice in a session, so that the kernel cannot mistake a new file for an old one. */
  readonly id: number;
  readonly inode: Inode;
  /** References of the kernel; at 0 the node goes. */
  lookups = 0;
  /** Permission bits when last seen; -1: not seen yet. */
  mode = -1;
  /** Of the data when last seen: changes with every change of it. */
  stamp = unknownStamp;
  /** Others have changed the data since the kernel was told of it by an answer that makes it look at its pages. */
  isBehind = false;
  /** When the kernel was last told attributes of it. */
  shownMs = never;
  /** Requests for its attributes that are under way. */
  asking = 0;
  /** The kernel has attributes of it that it believes for a while. */
  believed = true;
  /** When it was last told them, by who asked; whole milliseconds. */
  toldMs = never;
  /** Made without a name (O_TMPFILE): its first link says so. */
  unnamed = false;
  readonly #shortIno: boolean;
  #handles: Set<Handle> | null = null;
  #locks: LockBook | null = null;

  constructor(id: number, inode: Inode, shortIno: boolean) {
    this.id = id;
    this.inode = inode;
    this.#shortIno = shortIno;
  }

  get gfid(): Gfid {
    return this.inode.gfid;
  }

  get ino(): { high: number; low: number } {
    return this.#shortIno ? shortInodeNumber(this.gfid) : inodeNumber(this.gfid);
  }

  /** The handles open on it. Most nodes are only known: this and the locks take memory when there are some. */
  get handles(): ReadonlySet<Handle> {
    return this.#handles ?? noHandles;
  }

  opened(handle: Handle): void {
    this.#handles ??= new Set();
    this.#handles.add(handle);
  }

  closed(handle: Handle): void {
    this.#handles?.delete(handle);
    if (this.#handles?.size === 0) this.#handles = null;
  }

  get locks(): LockBook {
    this.#locks ??= new LockBook();
    return this.#locks;
  }

  get lockCount(): number {
    return this.#locks?.size ?? 0;
  }

  get isDirectory(): boolean {
    return this.inode.type === FileType.directory;
  }

  /** What the kernel is told. */
  see(iatt: Iatt): void {
    this.mode = iatt.mode;
    this.stamp = stampOf(iatt);
    this.isBehind = false;
  }

  /**
   * What the kernel is told at `nowMs`, of which it asked at `askedMs`. It does not take an answer where another came since it asked, and nobody
   * knows which of them it sees first: where these differ it may believe either.
   */
  show(iatt: Iatt, askedMs: number, nowMs: number): void {
    const isCrossed = this.shownMs + wakingMs >= askedMs && !this.isAsSeen(iatt);
    this.see(iatt);
    if (isCrossed) this.stamp = unknownStamp;
    this.shownMs = nowMs;
  }

  /** After a change by this mount, which was of `pre`. Its reply has no attributes if it was answered before it was done. */
  changed(pre: Iatt, post: Iatt): void {
    const isBehind = this.isBehind || !this.isAsSeen(pre);
    if (isKnownIatt(post)) this.see(post);
    else this.stamp = unknownStamp;
    this.isBehind = isBehind;
  }

  /** Whether the data is, for all that can be told, what it was when it was last seen. */
  isAsSeen(iatt: Iatt | undefined): boolean {
    return iatt !== undefined && this.stamp === stampOf(iatt);
  }
}

/** Size and time of modification in one number. */
function stampOf({ size, mtime, mtimeNsec }: Iatt): number {
  return ((mtime & 0xfffff) * 1e9 + mtimeNsec + size) % 2 ** 53;
}

/** Of a node's number, the bits that say where it is; the others say how often the place has been used before. */
const placeBits = 26;
const places = 2 ** placeBits;
/** Numbers stay below 2^53. */
const usesMax = 2 ** (53 - placeBits) - 1;

/** Nodes by number. No number is given twice, yet none is searched for. */
class NodePlaces {
  #nodes: (Node | undefined)[] = [undefined, undefined];
  /** The number that each place gives next. */
  #numbers: number[] = [0, rootNodeId];
  #free: number[] = [];
  size = 0;

  find(id: number): Node | undefined {
    const node = this.#nodes[id & (places - 1)];
    return node?.id === id ? node : undefined;
  }

  /** The number of a node to be put. */
  nextId(): number {
    const place = this.#free.pop();
    if (place !== undefined) return this.#numbers[place]!;
    assert(this.#nodes.length < places, 'more nodes than a number has room for');
    this.#nodes.push(undefined);
    this.#numbers.push(this.#numbers.length);
    return this.#numbers.at(-1)!;
  }

  put(node: Node): void {
    this.#nodes[node.id & (places - 1)] = node;
    this.size++;
  }

  /** False if it is not here. */
  remove(node: Node): boolean {
    const place = node.id & (places - 1);
    if (this.#nodes[place] !== node) return false;
    this.#nodes[place] = undefined;
    this.size--;
    this.#numbers[place] = node.id + places;
    if (node.id < usesMax * places) this.#free.push(place);
    return true;
  }

  clear(): void {
    this.#nodes.fill(undefined);
    this.size = 0;
  }

  /** By place; those that come or go meanwhile may be among them. */
  *all(): IterableIterator<Node> {
    for (let place = 0; place < this.#nodes.length; place++) {
      const node = this.#nodes[place];
      if (node) yield node;
    }
  }
}

function nodeOf(inode: Inode | undefined): Node | undefined {
  return inode?.attached instanceof Node ? inode.attached : undefined;
}

export class NodeTable {
  readonly #inodes: InodeTable;
  readonly #shortIno: boolean;
  readonly #places = new NodePlaces();
  readonly root: Node;

  constructor(inodes: InodeTable, shortIno = false) {
    this.#inodes = inodes;
    this.#shortIno = shortIno;
    const inode = inodes.hold(inodes.get(rootGfid));
    inode.type = FileType.directory;
    this.root = new Node(rootNodeId, inode, shortIno);
    this.root.lookups = 1;
    this.#places.put(this.root);
    inode.attached = this.root;
  }

  get size(): number {
    return this.#places.size;
  }

  byId(id: number): Node | undefined {
    return this.#places.find(id);
  }

  byGfid(gfid: Gfid): Node | undefined {
    return nodeOf(this.#inodes.find(gfid));
  }

  all(): IterableIterator<Node> {
    return this.#places.all();
  }

  /** The node of a file that is about to be shown to the kernel, which asked for it at `askedMs`: counts as one lookup. */
  lookedUp(iatt: Iatt, parent: Node | null, name: ByteString | null, askedMs = always, nowMs = never): Node {
    const inode = this.#inodes.getHeld(iatt.gfid);
    let node = nodeOf(inode);
    if (node) this.#inodes.release(inode);
    else {
      inode.type = iatt.type;
      node = new Node(this.#places.nextId(), inode, this.#shortIno);
      inode.attached = node;
      this.#places.put(node);
    }
    node.lookups++;
    node.show(iatt, askedMs, nowMs);
    if (parent && name !== null && node !== this.root) this.#inodes.link(parent.gfid, name, node.inode);
    return node;
  }

  /** The kernel drops `count` lookups. Numbers that make no sense are limited: they come from outside. */
  forget(id: number, count: number): void {
    const node = this.#places.find(id);
    if (!node || node === this.root) return;
    node.lookups = Math.max(0, node.lookups - count);
    this.#retire(node);
  }

  /** Called when a handle of the node was closed: an open file keeps its node. */
  closed(node: Node): void {
    if (node !== this.root) this.#retire(node);
  }

  /** Gives everything back: the kernel has gone. */
  clear(): void {
    for (const { inode } of this.#places.all()) {
      inode.attached = null;
      this.#inodes.release(inode);
    }
    this.#places.clear();
  }

  #retire(node: Node): void {
    if (node.lookups > 0 || node.handles.size > 0) return;
    if (!this.#places.remove(node)) return;
    assert(node.inode.attached === node);
    node.inode.attached = null;
    this.#inodes.release(node.inode);
  }
}
