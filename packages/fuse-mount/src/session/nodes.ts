/** What the kernel knows of the volume: node numbers, each with how often the kernel has looked it up. */
import { strict as assert } from 'node:assert';
import { type ByteString, FileType, type Gfid, type Iatt, type Inode, type InodeTable, rootGfid } from '@mortar/core';
import { inodeNumber, rootNodeId, shortInodeNumber } from '../protocol/index.ts';
import type { Handle } from './handles.ts';
import { LockBook } from './lock-book.ts';

const noHandles: ReadonlySet<Handle> = new Set();

export class Node {
  /** Never used twice in a session, so that the kernel cannot mistake a new file for an old one. */
  readonly id: number;
  readonly inode: Inode;
  /** References of the kernel; at 0 the node goes. */
  lookups = 0;
  /** Permission bits when last seen; -1: not seen yet. */
  mode = -1;
  /** Of the data when last seen: changes with every change of it. */
  stamp = -1;
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

  see(iatt: Iatt): void {
    this.mode = iatt.mode;
    this.stamp = stampOf(iatt);
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

function nodeOf(inode: Inode | undefined): Node | undefined {
  return inode?.attached instanceof Node ? inode.attached : undefined;
}

export class NodeTable {
  readonly #inodes: InodeTable;
  readonly #shortIno: boolean;
  readonly #byId = new Map<number, Node>();
  #nextId = rootNodeId + 1;
  readonly root: Node;

  constructor(inodes: InodeTable, shortIno = false) {
    this.#inodes = inodes;
    this.#shortIno = shortIno;
    const inode = inodes.hold(inodes.get(rootGfid));
    inode.type = FileType.directory;
    this.root = new Node(rootNodeId, inode, shortIno);
    this.root.lookups = 1;
    this.#byId.set(rootNodeId, this.root);
    inode.attached = this.root;
  }

  get size(): number {
    return this.#byId.size;
  }

  byId(id: number): Node | undefined {
    return this.#byId.get(id);
  }

  byGfid(gfid: Gfid): Node | undefined {
    return nodeOf(this.#inodes.find(gfid));
  }

  all(): IterableIterator<Node> {
    return this.#byId.values();
  }

  /** The node of a file that is about to be shown to the kernel: counts as one lookup. */
  lookedUp(iatt: Iatt, parent: Node | null, name: ByteString | null): Node {
    const inode = this.#inodes.get(iatt.gfid);
    let node = nodeOf(inode);
    if (!node) {
      this.#inodes.hold(inode);
      inode.type = iatt.type;
      node = new Node(this.#nextId++, inode, this.#shortIno);
      inode.attached = node;
      this.#byId.set(node.id, node);
    }
    node.lookups++;
    node.see(iatt);
    if (parent && name !== null && node !== this.root) this.#inodes.link(parent.gfid, name, node.inode);
    return node;
  }

  /** The kernel drops `count` lookups. Numbers that make no sense are limited: they come from outside. */
  forget(id: number, count: number): void {
    const node = this.#byId.get(id);
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
    for (const { inode } of this.#byId.values()) {
      inode.attached = null;
      this.#inodes.release(inode);
    }
    this.#byId.clear();
  }

  #retire(node: Node): void {
    if (node.lookups > 0 || node.handles.size > 0) return;
    if (!this.#byId.delete(node.id)) return;
    assert(node.inode.attached === node);
    node.inode.attached = null;
    this.#inodes.release(node.inode);
  }
}
