/** Files that the kernel reads itself, past the session and the graph (docs/caching.md, Passthrough). */
import { errnoName, type Fd } from '@mortar/core';
import { OpenFlag } from '../protocol/index.ts';
import type { Node } from './nodes.ts';
import type { Session } from './session.ts';

/** A file of this host that is read in place of one of the volume. */
export interface Backing {
  /**
   * Descriptor of a regular file. The kernel is told of it in the same turn and then has it itself: each open opens the file
   * anew, with the program's flags and this process's rights, so that it is open for reading only protects nothing.
   */
  readonly fd: number;
  /** Aborted when the promise below ends. No further open gets the backing; those that have it go on reading. */
  readonly ended: AbortSignal;
  /** The last open that had it is closed, or the mount has ended. Mappings of the file may live on: nobody tells of their end. */
  release(): void;
}

/**
 * Decides which opens the kernel serves by itself, and from what. Nobody implements it: see docs/caching.md for what is
 * missing. Who gives a backing promises for as long as the kernel uses it, since nothing can be taken back:
 *
 * - The file is that of a brick on this host which has just opened it for this caller: its ACLs and root-squash have had
 *   their say. It holds the contents as they are: nothing between shards, disperses, encrypts or compresses them, delays
 *   writes (write-behind, of any mount) or refuses reads (mandatory locks, damaged files).
 * - The brick is clean for data and metadata, by changelog and under a lease, and *stays* so: no change is acknowledged
 *   without it. With one brick for the file that is so by itself; with replicas only if the lease keeps every writer off,
 *   and outlives the session with the bricks.
 * - The file stays on that brick (no migration), and the brick's file system stays mounted.
 *
 * It aborts `ended` when one of these no longer holds: a writer elsewhere wants the lease, a lease or session was lost, the
 * brick is accused or gone, the file moves, the graph was switched. That keeps new readers off and reaches none of the old
 * ones, so a promise that can end while the file is open must not be given for a file that anybody may change.
 */
export interface BackingSource {
  /** For a file that was opened for reading: its gfid, and what translators keep with it. Null: its reads are requests. */
  backingOf(fd: Fd): Backing | null;
}

interface InUse {
  readonly backing: Backing;
  readonly id: number;
}

/**
 * What the kernel demands of a session that answers opens so (fs/fuse/iomode.c): while one open of a file has a backing
 * every other names the same one, else it fails with EIO; while one has none, none names any. An open that may not share it
 * is refused with ETXTBSY. Direct I/O beside it would bring its reads and writes here, but not what it maps: writes to
 * that would reach the one brick only. A writer that was on its way when the file was given to a reader is refused late,
 * when its O_TRUNC has been done.
 */
export class Passthrough {
  readonly #session: Session;
  readonly #source: BackingSource;
  readonly #inUse = new Map<Node, InUse>();
  #hasWarned = false;

  constructor(session: Session, source: BackingSource) {
    this.#session = session;
    this.#source = source;
  }

  /** Whether an open with these flags cannot be answered while others have the file open. */
  refuses(node: Node, flags: number): boolean {
    const used = this.#inUse.get(node);
    return used !== undefined && (!isReading(flags) || used.backing.ended.aborted);
  }

  /** What the kernel is to read for an open that is not refused and about to be answered; 0: it asks us. */
  idFor(node: Node, fd: Fd, flags: number): number {
    const used = this.#inUse.get(node);
    if (used) return used.id;
    if (!isReading(flags) || node.handles.size > 0) return 0;
    const backing = this.#source.backingOf(fd);
    return backing ? this.#begin(node, backing) : 0;
  }

  /** A handle of the node was closed. */
  closed(node: Node): void {
    if (node.handles.size === 0) this.#end(node);
  }

  end(): void {
    for (const node of [...this.#inUse.keys()]) this.#end(node);
  }

  #begin(node: Node, backing: Backing): number {
    const id = this.#session.channel.openBacking(backing.fd);
    if (id > 0) {
      this.#inUse.set(node, { backing, id });
      return id;
    }
    backing.release();
    this.#warn(-id);
    return 0;
  }

  #end(node: Node): void {
    const used = this.#inUse.get(node);
    if (!used) return;
    this.#inUse.delete(node);
    this.#session.channel.closeBacking(used.id);
    used.backing.release();
  }

  /** Once: what it refuses (a caller without CAP_SYS_ADMIN, a brick on overlayfs) it goes on refusing. */
  #warn(errno: number): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const text = `the kernel does not read files of bricks itself: ${errnoName(errno)}; their reads are requests`;
    this.#session.services.log.write('WARNING', 'fuse', text);
  }
}

function isReading(flags: number): boolean {
  return (flags & (OpenFlag.accessMode | OpenFlag.truncate)) === 0;
}
