/**
 * The tree as files: gfids, attributes, contents. A gfid is a hash of the path, so that it is the same in every graph of
 * a process; a path is resolved anew each time, so that what has gone is gone.
 */
import { createHash } from 'node:crypto';
import {
  type ByteString,
  type Errno,
  emptyIatt,
  type Fd,
  FileType,
  type Gfid,
  gfidFromBytes,
  type Iatt,
  newGfid,
  type Services,
} from '@mortar/core';
import type { MetaFacts } from './facts.ts';
import { runLogCommand } from './log-command.ts';
import type { MetaDirectory, MetaNode } from './node.ts';
import { metaTree } from './tree.ts';

/** The entry in the root of a mount. */
export const metaName = '.meta';

type Path = readonly ByteString[];

export interface Found {
  readonly gfid: Gfid;
  readonly node: MetaNode;
}

/** A node that was asked for by gfid: `gone` if there was such a node, undefined if the gfid was never given out. */
export type FoundOrGone = Found | 'gone' | undefined;

/** Gfids that are remembered; the oldest is given up, its node then has to be looked up again. */
const rememberedMax = 200_000;

export class MetaVolume {
  readonly gfid: Gfid;
  readonly #facts: MetaFacts;
  readonly #tree: MetaDirectory;
  readonly #services: Services;
  readonly #paths = new Map<Gfid, Path>();
  /** What a file said when it was opened. */
  readonly #opened = new WeakMap<Fd, Buffer>();
  readonly #began: number;

  constructor(facts: MetaFacts, services: Services) {
    this.#facts = facts;
    this.#services = services;
    this.#tree = metaTree({ facts, log: services.log, processUuid: newGfid(services.random) });
    this.#began = services.clock.wall().sec;
    this.gfid = gfidOf([]);
  }

  /** Does what an xattr asks of the process; undefined if it asks nothing. Else 0, or why not. */
  command(xattr: ByteString, value: Uint8Array): Errno | 0 | undefined {
    return runLogCommand(this.#facts, this.#services.log, xattr, value);
  }

  /** Whether the gfid was given out here; cheap, asked for every operation of a mount. */
  knows(gfid: Gfid): boolean {
    return this.#paths.has(gfid);
  }

  /** The link to the graph in service; a kernel that caches links must be told when it changes. */
  get activeLink(): Gfid {
    return gfidOf(['graphs', 'active']);
  }

  /** `.meta` itself. */
  top(): Found {
    return this.#give([], this.#tree);
  }

  find(gfid: Gfid): FoundOrGone {
    const path = this.#paths.get(gfid);
    if (!path) return undefined;
    let node: MetaNode | undefined = this.#tree;
    for (const name of path) node = node?.kind === 'directory' ? node.entries().get(name)?.() : undefined;
    return node ? { gfid, node } : 'gone';
  }

  /** An entry of a directory found here. */
  entry(directory: Gfid, name: ByteString): Found | undefined {
    const path = this.#paths.get(directory);
    const found = this.find(directory);
    if (!path || typeof found !== 'object' || found.node.kind !== 'directory') return undefined;
    const node = found.node.entries().get(name)?.();
    return node && this.#give([...path, name], node);
  }

  /** All entries; undefined if it is no directory. */
  list(directory: Gfid): [name: ByteString, found: Found][] | undefined {
    const path = this.#paths.get(directory);
    const found = this.find(directory);
    if (!path || typeof found !== 'object' || found.node.kind !== 'directory') return undefined;
    return [...found.node.entries()].map(([name, make]) => [name, this.#give([...path, name], make())]);
  }

  /** The text as the file had it when `fd` was opened; read now if it was not. */
  content(fd: Fd, found: Found): Buffer {
    let bytes = this.#opened.get(fd);
    if (!bytes) {
      bytes = contentOf(found.node);
      this.#opened.set(fd, bytes);
    }
    return bytes;
  }

  iatt({ gfid, node }: Found, fd?: Fd): Iatt {
    const type = typeOf(node);
    const { sec, nsec } = node.kind === 'file' ? this.#services.clock.wall() : { sec: this.#began, nsec: 0 };
    const size = ((fd && this.#opened.get(fd)) ?? contentOf(node)).length;
    return {
      ...emptyIatt(gfid, type),
      mode: modeOf(node),
      nlink: type === FileType.directory ? 2 : 1,
      size,
      blocks: Math.ceil(size / 512),
      atime: sec,
      atimeNsec: nsec,
      mtime: sec,
      mtimeNsec: nsec,
      ctime: sec,
      ctimeNsec: nsec,
      btime: this.#began,
    };
  }

  #give(path: Path, node: MetaNode): Found {
    const gfid = gfidOf(path);
    if (!this.#paths.has(gfid)) {
      this.#paths.set(gfid, path);
      if (this.#paths.size > rememberedMax) this.#giveUpOldest();
    }
    return { gfid, node };
  }

  #giveUpOldest(): void {
    for (const gfid of this.#paths.keys()) {
      if (gfid === this.gfid) continue;
      this.#paths.delete(gfid);
      return;
    }
  }
}

/** Names have no NUL, so that different paths are different texts. RFC 4122 version 8: not one of a random gfid. */
function gfidOf(path: Path): Gfid {
  const bytes = createHash('sha256')
    .update(`${metaName}\0${path.join('\0')}`, 'latin1')
    .digest();
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return gfidFromBytes(bytes);
}

function contentOf(node: MetaNode): Buffer {
  if (node.kind === 'file') return Buffer.from(node.text(), 'utf8');
  return node.kind === 'link' ? Buffer.from(node.target(), 'latin1') : Buffer.alloc(0);
}

function typeOf(node: MetaNode): FileType {
  if (node.kind === 'directory') return FileType.directory;
  return node.kind === 'link' ? FileType.symlink : FileType.regular;
}

export function modeOf(node: MetaNode): number {
  if (node.kind === 'directory') return 0o555;
  if (node.kind === 'link') return 0o777;
  return (node.secret ? 0o400 : 0o444) | (node.take ? 0o200 : 0);
}
