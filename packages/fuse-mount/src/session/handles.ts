import type { Fd } from '@mortar/core';
import type { ServedGraph } from '@mortar/host/client/graphs.ts';
import type { HeldLock } from '@mortar/host/client/lock-book.ts';
import { OpenFile } from '@mortar/host/client/open-files.ts';
import type { DirentList } from '../protocol/index.ts';
import type { Node } from './nodes.ts';

/** An open file or directory as the kernel names it. */
export class Handle extends OpenFile {
  readonly fh: number;
  readonly node: Node;
  /** Names read ahead: those from `first` on are behind the offset `from`. `end`: the directory ends with them. */
  ahead: { from: number; list: DirentList; first: number; end: boolean } | null = null;

  constructor(fh: number, node: Node, flags: number, directory: boolean, fd: Fd, graph: ServedGraph) {
    super(node.gfid, flags, directory, fd, graph);
    this.fh = fh;
    this.node = node;
  }

  heldLocks(): readonly HeldLock[] {
    return this.node.lockCount === 0 ? [] : this.node.locks.of(this.fh);
  }

  lockLost({ owner, start, end }: HeldLock): void {
    this.node.locks.clear(owner, start, end);
  }
}

export class HandleTable {
  readonly #handles = new Map<number, Handle>();
  #next = 1;

  get size(): number {
    return this.#handles.size;
  }

  all(): IterableIterator<Handle> {
    return this.#handles.values();
  }

  get(fh: number): Handle | undefined {
    return this.#handles.get(fh);
  }

  add(node: Node, flags: number, directory: boolean, fd: Fd, graph: ServedGraph): Handle {
    const handle = new Handle(this.#next++, node, flags, directory, fd, graph);
    this.#handles.set(handle.fh, handle);
    node.opened(handle);
    return handle;
  }

  /** Takes a handle out; its fd stays for the caller to release. */
  remove(fh: number): Handle | undefined {
    const handle = this.#handles.get(fh);
    if (!handle) return undefined;
    this.#handles.delete(fh);
    handle.isClosed = true;
    handle.node.closed(handle);
    return handle;
  }
}
