/**
 * `.gfid` in the root of a mount (`-o aux-gfid-mount`): a directory that no listing shows, in which every object of the
 * volume is found under its gfid. `.gfid/UUID` is the object itself, with its own number; what is below a directory
 * there is reached by name as anywhere.
 */
import {
  type Args,
  type Call,
  Errno,
  emptyIatt,
  type Fd,
  FileType,
  type Fop,
  type FopName,
  fail,
  fopNames,
  fops,
  type Gfid,
  type Iatt,
  isGfid,
  type Loc,
  locOf,
  type Reply,
  rootGfid,
  type Subvolume,
} from '@mortar/core';

/** GlusterFS's for the same. */
export const gfidDirectory = '00000000-0000-0000-0000-00000000000d' as Gfid;
const directoryName = '.gfid';

function ownIatt(): Iatt {
  return { ...emptyIatt(gfidDirectory, FileType.directory), mode: 0o500, nlink: 2 };
}

type Own = { readonly [N in FopName]?: Fop<N> };

const own: Own = {
  stat: async () => ({ ok: true, iatt: ownIatt() }),
  fstat: async () => ({ ok: true, iatt: ownIatt() }),
  access: async (call, { mask }) => (mask & 2 || call.uid !== 0 ? fail(Errno.EACCES) : { ok: true }),
  opendir: async () => ({ ok: true }),
  readdir: async () => ({ ok: true, entries: [], end: true }),
  readdirp: async () => ({ ok: true, entries: [], end: true }),
  fsyncdir: async () => ({ ok: true }),
  flush: async () => ({ ok: true }),
  getxattr: async (_call, { name }) => (name === undefined ? { ok: true, xattrs: {} } : fail(Errno.ENODATA)),
  fgetxattr: async (_call, { name }) => (name === undefined ? { ok: true, xattrs: {} } : fail(Errno.ENODATA)),
};

const refusal = fail(Errno.EPERM);
const refuse = async () => refusal;

function isOurs({ gfid, parent, name }: Loc): boolean {
  if (gfid === gfidDirectory || parent === gfidDirectory) return true;
  return parent === rootGfid && name === directoryName;
}

/** Names of the arguments that say which file an operation is about. */
function placesOf(name: FopName): readonly { key: string; isFd: boolean }[] {
  return Object.entries(fops[name].args)
    .filter(([, { kind }]) => kind === 'loc' || kind === 'fd')
    .map(([key, { kind }]) => ({ key, isFd: kind === 'fd' }));
}

/** The same operations, with `.gfid`. A compound is never about it: the mount makes none. */
export function withGfidDirectory(below: Subvolume): Subvolume {
  const bound: Record<string, unknown> = { xlator: below.xlator };
  for (const name of fopNames) bound[name] = over(name, below[name] as Fop<FopName>);
  bound.lookup = (call: Call, args: Args<'lookup'>) => lookup(below, call, args);
  return bound as unknown as Subvolume;
}

function over(name: FopName, next: Fop<FopName>): Fop<FopName> {
  const places = placesOf(name);
  if (places.length === 0) return next;
  const mine = (own[name] ?? refuse) as Fop<FopName>;
  return (call, args) => {
    const bag = args as object as Record<string, unknown>;
    const ours = places.some(({ key, isFd }) =>
      isFd ? (bag[key] as Fd).gfid === gfidDirectory : isOurs(bag[key] as Loc),
    );
    return ours ? mine(call, args) : next(call, args);
  };
}

async function lookup(below: Subvolume, call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
  const { loc } = args;
  if (!isOurs(loc)) return below.lookup(call, args);
  if (loc.parent !== gfidDirectory) {
    const iatt = ownIatt();
    return { ok: true, iatt, postParent: iatt, xattrs: {} };
  }
  const gfid = loc.name?.toLowerCase() ?? '';
  if (!isGfid(gfid)) return fail(Errno.ENOENT);
  const { gfid: _adopted, ...rest } = args;
  const reply = await below.lookup(call, { ...rest, loc: locOf(gfid) });
  return !reply.ok && reply.errno === Errno.ESTALE ? fail(Errno.ENOENT) : reply;
}
