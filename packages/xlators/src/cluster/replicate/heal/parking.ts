/**
 * The anonymous-inode directory of a brick: where heal puts what has lost its name, since the same object may be about to
 * get another name. What nobody asked for when nothing is pending any more is removed (docs/heal.md).
 */
import {
  type Call,
  Errno,
  type Failure,
  Fd,
  FileType,
  type Gfid,
  gfidBytes,
  gfidFromBytes,
  type Iatt,
  isGfid,
  type Loc,
  locAt,
  locOf,
  type Reply,
  rootGfid,
  type Xdata,
} from '@mortar/core';
import type { Replica } from '../replica.ts';

const pageBytes = 64 * 1024;

/** What the directory's name begins with, whatever the volume. */
export const parkingPrefix = '.glusterfs-anonymous-inode-';

export class Parking {
  readonly gfid: Gfid;
  readonly name: string;
  readonly #replica: Replica;
  readonly #call: Call;

  /** Its gfid is the volume's id with the lowest bit of the first byte turned over. */
  constructor(replica: Replica, volumeId: Gfid) {
    const bytes = gfidBytes(volumeId);
    bytes[0]! ^= 1;
    this.gfid = gfidFromBytes(bytes);
    this.name = `${parkingPrefix}${volumeId}`;
    this.#replica = replica;
    this.#call = { ...replica.rootCall(), internal: 'self-heal' };
  }

  /** Of a replica set whose volume parks; undefined where the option is off or the volume has no id. */
  static of(replica: Replica): Parking | undefined {
    const { parkingFor } = replica.live;
    return parkingFor === undefined ? undefined : new Parking(replica, parkingFor);
  }

  #at(gfid: Gfid): Loc {
    return locAt(this.gfid, gfid, gfid);
  }

  /** Makes the directory where it is missing, everywhere with the same times. */
  async ensure(children: readonly number[]): Promise<boolean> {
    const { set } = this.#replica;
    const found = await set.wind(children, 'lookup', this.#call, () => ({ loc: locOf(this.gfid) }));
    const missing = children.filter((child) => isAbsent(found[child]));
    const loc = locAt(rootGfid, this.name);
    const made = await set.wind(missing, 'mkdir', this.#call, () => ({ loc, mode: 0o700, gfid: this.gfid }));
    return missing.every((child) => made[child]!.ok || (made[child] as Failure).errno === Errno.EEXIST);
  }

  /** Moves an object away from its name, under the lease on the directory. False: it is where it was. */
  async park(child: number, from: Loc, gfid: Gfid, xdata?: Xdata): Promise<boolean> {
    if (!(await this.ensure([child]))) return false;
    const args = { from, to: this.#at(gfid), flags: 0, ...(xdata && { xdata }) };
    return (await this.#replica.set.windOne(child, 'rename', this.#call, args)).ok;
  }

  async holds(child: number, gfid: Gfid): Promise<boolean> {
    const found = await this.#replica.set.windOne(child, 'lookup', this.#call, { loc: this.#at(gfid) });
    return found.ok && found.iatt.gfid === gfid;
  }

  /** Gives a parked object its new name. False: it is not parked here. */
  async fetch(child: number, gfid: Gfid, to: Loc, xdata?: Xdata): Promise<boolean> {
    const { set } = this.#replica;
    if (!(await this.holds(child, gfid))) return false;
    const args = { from: this.#at(gfid), to, flags: 0, ...(xdata && { xdata }) };
    return (await set.windOne(child, 'rename', this.#call, args)).ok;
  }

  /** Removes what is parked on a brick and has no name anywhere: nobody will give it one again. */
  async purge(child: number): Promise<void> {
    const { set } = this.#replica;
    for (const { gfid, type } of await this.#parked(child)) {
      const others = set.children.flatMap((_, other) => (other === child ? [] : [other]));
      const replies = await set.wind(others, 'lookup', this.#call, () => ({ loc: locOf(gfid) }));
      const isNamed = await Promise.all(others.map((other) => this.#isNamed(other, gfid, replies[other])));
      if (isNamed.includes(true)) continue;
      const loc = this.#at(gfid);
      const reply =
        type === FileType.directory
          ? await set.windOne(child, 'rmdir', this.#call, { loc, recursive: true })
          : await set.windOne(child, 'unlink', this.#call, { loc });
      if (!reply.ok && reply.errno !== Errno.ENOENT)
        this.#replica.warn(`${this.name}/${gfid} cannot be removed from child ${child}: errno ${reply.errno}`);
    }
  }

  /** Whether a child has it otherwise than parked, or open by somebody without a name; also if it cannot say. */
  async #isNamed(child: number, gfid: Gfid, found: Reply<'lookup'> | undefined): Promise<boolean> {
    if (!found?.ok) return !isAbsent(found);
    const { type, nlink } = found.iatt;
    if (type !== FileType.directory && nlink !== 1) return nlink > 1;
    return !(await this.holds(child, gfid));
  }

  async #parked(child: number): Promise<Pick<Iatt, 'gfid' | 'type'>[]> {
    const { set } = this.#replica;
    const fd = new Fd(this.gfid);
    const parked: Pick<Iatt, 'gfid' | 'type'>[] = [];
    try {
      const opened = await set.windOne(child, 'opendir', this.#call, { loc: locOf(this.gfid), fd });
      if (!opened.ok) return parked;
      for (let offset = 0; ; ) {
        const page = await set.windOne(child, 'readdirp', this.#call, { fd, size: pageBytes, offset });
        if (!page.ok) return parked;
        for (const { name, iatt } of page.entries)
          if (iatt && isGfid(name)) parked.push({ gfid: name, type: iatt.type });
        const last = page.entries.at(-1);
        if (page.end || !last) return parked;
        offset = last.offset;
      }
    } finally {
      fd.release();
    }
  }
}

function isAbsent(reply: Reply<'lookup'> | undefined): boolean {
  return reply !== undefined && !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE);
}
