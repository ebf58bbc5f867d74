/**
 * A directory of a volume as the root of a mount (`--subdir-mount`): the same operations, in which the directory's gfid
 * and the root's have changed places. Arguments and replies are walked by the fop table, so a new fop is covered.
 */
import {
  type Call,
  Errno,
  Fd,
  type Field,
  type Fields,
  FileType,
  type Fop,
  type FopName,
  fopNames,
  fops,
  type Gfid,
  type GraphEvent,
  type Loc,
  locAt,
  type Reply,
  rootGfid,
  type Subvolume,
} from '@mortar/core';

export type FoundDirectory = { ok: true; gfid: Gfid } | { ok: false; errno: Errno; path: string };

/** Looks the path up from the volume's root. `path`: `/a/b`, as a ByteString. */
export async function findDirectory(ops: Subvolume, call: Call, path: string): Promise<FoundDirectory> {
  let gfid = rootGfid;
  let walked = '';
  for (const name of path.split('/').filter((part) => part !== '')) {
    walked += `/${name}`;
    const reply = await ops.lookup(call, { loc: locAt(gfid, name) });
    if (!reply.ok) return { ok: false, errno: reply.errno, path: walked };
    if (reply.iatt.type !== FileType.directory) return { ok: false, errno: Errno.ENOTDIR, path: walked };
    gfid = reply.iatt.gfid;
  }
  return { ok: true, gfid };
}

export interface SubdirectoryView {
  readonly ops: Subvolume;
  upcall(event: Extract<GraphEvent, { type: 'upcall' }>): Extract<GraphEvent, { type: 'upcall' }>;
}

export function subdirectoryView(ops: Subvolume, directory: Gfid): SubdirectoryView {
  const mapping = new Mapping(directory);
  const bound: Record<string, unknown> = { xlator: ops.xlator };
  for (const name of fopNames) bound[name] = mapping.fop(name, ops[name] as Fop<FopName>);
  return {
    ops: bound as unknown as Subvolume,
    upcall: (event) => ({ ...event, gfid: mapping.outward(event.gfid) }),
  };
}

type Bag = Record<string, unknown>;

class Mapping {
  readonly #directory: Gfid;
  /** Of the root's Fds as the mount has them, those that the volume has. */
  readonly #fds = new WeakMap<Fd, Fd>();

  constructor(directory: Gfid) {
    this.#directory = directory;
  }

  fop(name: FopName, next: Fop<FopName>): Fop<FopName> {
    const row = fops[name] as { args: Fields; reply: Fields };
    return async (call, args) => {
      const reply = await next(call, this.#walk(row.args, args as Bag, this.#inwardField) as typeof args);
      if (!reply.ok) return reply;
      return this.#walk(row.reply, reply as unknown as Bag, this.#outwardField) as unknown as Reply<FopName>;
    };
  }

  inward(gfid: Gfid): Gfid {
    return gfid === rootGfid ? this.#directory : gfid;
  }

  outward(gfid: Gfid): Gfid {
    return gfid === this.#directory ? rootGfid : gfid;
  }

  #walk(fields: Fields, values: Bag, map: (field: Field<unknown>, value: unknown) => unknown): Bag {
    const result: Bag = { ...values };
    for (const [name, field] of Object.entries(fields))
      if (result[name] !== undefined) result[name] = map(field, result[name]);
    return result;
  }

  readonly #inwardField = (field: Field<unknown>, value: unknown): unknown => {
    if (field.kind === 'loc') return this.#inwardLoc(value as Loc);
    if (field.kind === 'fd') return this.#inwardFd(value as Fd);
    if (field.kind !== 'steps') return value;
    return (value as { fop: FopName; args: Bag }[]).map(({ fop, args }) => ({
      fop,
      args: this.#walk(fops[fop].args, args, this.#inwardField),
    }));
  };

  #inwardLoc(loc: Loc): Loc {
    const { gfid, parent } = loc;
    return { ...loc, gfid: gfid && this.inward(gfid), parent: parent && this.inward(parent) };
  }

  #inwardFd(fd: Fd): Fd {
    if (fd.gfid !== rootGfid) return fd;
    let inner = this.#fds.get(fd);
    if (!inner) {
      const made = new Fd(this.#directory, fd.flags);
      fd.onRelease(() => made.release());
      this.#fds.set(fd, made);
      inner = made;
    }
    return inner;
  }

  readonly #outwardField = (field: Field<unknown>, value: unknown): unknown => {
    if (field.kind === 'iatt') return this.#outwardIatt(value as { gfid: Gfid });
    if (field.kind === 'gfid') return this.outward(value as Gfid);
    if (field.kind !== 'dirents') return value;
    return (value as { gfid: Gfid | null; iatt: { gfid: Gfid } | null }[]).map((entry) => ({
      ...entry,
      gfid: entry.gfid && this.outward(entry.gfid),
      iatt: entry.iatt && this.#outwardIatt(entry.iatt),
    }));
  };

  #outwardIatt<T extends { gfid: Gfid }>(iatt: T): T {
    return iatt.gfid === this.#directory ? { ...iatt, gfid: rootGfid } : iatt;
  }
}
