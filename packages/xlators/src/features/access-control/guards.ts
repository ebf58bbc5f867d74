/**
 * Who owns each file and what it permits, kept in the inode slot. Filled by a lookup of its own only, and
 * forgotten before and after each change that passes here, so it is never older than the last change that was answered.
 */
import {
  type Call,
  Errno,
  type Failure,
  FileType,
  fail,
  type Gfid,
  type InodeTable,
  type Loc,
  locOf,
  type Subvolume,
} from '@mortar/core';
import { aclAccess, type Guard, parseAcl } from './acl.ts';

interface Slot {
  guard: Guard | undefined;
  /** Counts changes: what was read before one is not kept. */
  changes: number;
}

export class Guards {
  readonly #inodes: InodeTable;
  readonly #slot: number;
  readonly #child: () => Subvolume;

  constructor(inodes: InodeTable, slot: number, child: () => Subvolume) {
    this.#inodes = inodes;
    this.#slot = slot;
    this.#child = child;
  }

  async of(call: Call, gfid: Gfid): Promise<Guard | Failure> {
    const known = (this.#inodes.find(gfid)?.slots[this.#slot] as Slot | undefined)?.guard;
    return known ?? this.#load(call, gfid);
  }

  async #load(call: Call, gfid: Gfid): Promise<Guard | Failure> {
    const inode = this.#inodes.hold(this.#inodes.get(gfid));
    try {
      const slot = this.#slotOf(gfid);
      const { changes } = slot;
      const guard = await this.#read(call, locOf(gfid));
      if (!('ok' in guard) && slot.changes === changes) slot.guard = guard;
      return guard;
    } finally {
      this.#inodes.release(inode);
    }
  }

  /** Of a file that may be known by name only; not kept. */
  async at(call: Call, loc: Loc): Promise<Guard | Failure> {
    return loc.gfid ? this.of(call, loc.gfid) : this.#read(call, loc);
  }

  async #read(call: Call, loc: Loc): Promise<Guard | Failure> {
    const found = await this.#child().lookup(call, { loc, want: [aclAccess] });
    if (!found.ok) return found;
    const { uid, gid, mode, type } = found.iatt;
    const bytes = found.xattrs[aclAccess];
    const acl = bytes && parseAcl(bytes);
    if (bytes && !acl) return fail(Errno.EIO);
    return { uid, gid, mode, isDirectory: type === FileType.directory, acl };
  }

  /** Does what changes owner, mode or ACL of a file. */
  async changing<T>(gfid: Gfid | null, change: () => Promise<T>): Promise<T> {
    if (!gfid) return change();
    const inode = this.#inodes.hold(this.#inodes.get(gfid));
    const forget = () => {
      const slot = this.#slotOf(gfid);
      slot.guard = undefined;
      slot.changes++;
    };
    forget();
    try {
      return await change();
    } finally {
      forget();
      this.#inodes.release(inode);
    }
  }

  #slotOf(gfid: Gfid): Slot {
    const inode = this.#inodes.get(gfid);
    inode.slots[this.#slot] ??= { guard: undefined, changes: 0 } satisfies Slot;
    return inode.slots[this.#slot] as Slot;
  }
}
