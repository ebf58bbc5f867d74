import type { Fd } from '@mortar/core';
import type { DirentList } from '../protocol/index.ts';
import type { MountedGraph } from './graphs.ts';
import type { Node } from './nodes.ts';

/** An open file or directory as the kernel names it. Gfid and flags suffice to open it anew on another graph. */
export class Handle {
  readonly fh: number;
  readonly node: Node;
  readonly flags: number;
  readonly directory: boolean;
  fd: Fd;
  /** The graph on which `fd` is open. */
  graph: MountedGraph;
  /** The migration under way, so that concurrent users share it. */
  migrating: Promise<number> | null = null;
  /** Names read ahead: those from `first` on are behind the offset `from`. `end`: the directory ends with them. */
  ahead: { from: number; list: DirentList; first: number; end: boolean } | null = null;

  constructor(fh: number, node: Node, flags: number, directory: boolean, fd: Fd, graph: MountedGraph) {
    this.fh = fh;
    this.node = node;
    this.flags = flags;
    this.directory = directory;
    this.fd = fd;
    this.graph = graph;
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

  add(node: Node, flags: number, directory: boolean, fd: Fd, graph: MountedGraph): Handle {
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
    handle.node.closed(handle);
    return handle;
  }
}
