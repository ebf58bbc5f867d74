/** What a listing shows of a name, out of what the children have of it. */
import { type Args, type Call, type Dirent, Errno, FileType, locAt, newGfid, type Reply } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { isLinktoEntry } from './empty.ts';
import { childOfHash } from './layout.ts';
import { isMigrating } from './linkto.ts';
import { learnDirectory, learnFile } from './listed-place.ts';
import type { Copy } from './listing.ts';
import { withOwnMode } from './marks.ts';
import { mergeDirectoryIatts } from './merge.ts';
import { onlyWanted } from './names.ts';
import type { DirectoryState } from './state.ts';

/** Undefined: there is no such file. `learns`: d.generation before the children were asked, if what is listed is to be remembered. */
export async function listedName(
  d: Distribute,
  call: Call,
  args: Args<'readdirp'>,
  state: DirectoryState,
  copies: readonly Copy[],
  learns: number | undefined,
): Promise<Dirent | undefined> {
  const { entry } = copies[0]!;
  if (entry.name === '..') return entry;
  const directories = copies.filter((copy) => isDirectoryEntry(copy.entry));
  if (directories.length > 0) {
    const first = directories.find(({ child }) => child === decides(d, state, entry.name));
    const isLearned = first && entry.name !== '.' && learns !== undefined;
    if (isLearned && !learnDirectory(d, args.fd.gfid, [first, ...directories], learns))
      return { ...first.entry, iatt: null, xattrs: null };
    if (first) return directory(d, args, first, directories);
  }
  const files = copies.filter((copy) => !isDirectoryEntry(copy.entry) && isShown(d, copy.entry));
  if (files.length > 0 && learns !== undefined) learnFile(d, files);
  const file = files.find(({ entry: { iatt } }) => iatt && !isMigrating(iatt)) ?? files.find((one) => one.entry.iatt);
  if (file) return shown(d, args, file.entry);
  // Of a replica that is not whole the name is all that is known: whoever wants more asks.
  return files[0]?.entry ?? lookedUp(d, call, args, copies);
}

export function isDirectoryEntry({ type, iatt }: Dirent): boolean {
  return type === FileType.directory || iatt?.type === FileType.directory;
}

/** A linkto is not, nor what was gone when its turn came, which then has no gfid. */
function isShown(d: Distribute, entry: Dirent): boolean {
  return entry.gfid !== null && !isLinktoEntry(d, entry);
}

function shown(d: Distribute, { want }: Args<'readdirp'>, entry: Dirent): Dirent {
  const { iatt, xattrs } = entry;
  if (!iatt || !xattrs) return entry;
  return { ...entry, iatt: withOwnMode(d, iatt, xattrs), xattrs: onlyWanted(xattrs, want) };
}

/** The child whose word on a directory counts: where its name hashes to, or the first that is up. */
function decides(d: Distribute, state: DirectoryState, name: string): number | undefined {
  const firstUp = d.indices.find((i) => d.isUp(i));
  if (name === '.' || d.options['readdir-optimize']) return firstUp;
  const hashed = childOfHash(state.layout, d.hasher.hash(name));
  return hashed !== undefined && d.isUp(hashed) ? hashed : firstUp;
}

/** Its attributes are made of those of all its copies; if one of them is not known, nor is the whole. */
function directory(d: Distribute, args: Args<'readdirp'>, first: Copy, copies: readonly Copy[]): Dirent {
  const same = copies.filter(({ entry }) => entry.gfid === first.entry.gfid);
  const iatts = [first, ...same.filter((copy) => copy !== first)].flatMap(({ entry }) => entry.iatt ?? []);
  const entry = shown(d, args, first.entry);
  if (iatts.length < same.length) return { ...entry, iatt: null, xattrs: null };
  return { ...entry, iatt: mergeDirectoryIatts(iatts) };
}

/** Only where it is not are traces of it: it may have been moved while the children were asked. */
async function lookedUp(
  d: Distribute,
  call: Call,
  args: Args<'readdirp'>,
  copies: readonly Copy[],
): Promise<Dirent | undefined> {
  const { entry } = copies[0]!;
  const { name, offset } = entry;
  const loc = locAt(args.fd.gfid, name);
  const gfid = entry.gfid ?? newGfid(d.services.random);
  const ask = { loc, gfid, ...(args.want && { want: args.want }) };
  const reply: Reply<'lookup'> = await d.ops.lookup(d.ownCall(call), ask);
  if (reply.ok) {
    const { iatt, xattrs } = reply;
    return { name, gfid: iatt.gfid, type: iatt.type, offset, iatt, xattrs };
  }
  const isNot = [Errno.ENOENT, Errno.ESTALE].includes(reply.errno as 2);
  // Files of children that are down are not listed.
  const isAway = reply.errno === Errno.ENOTCONN && d.someDown;
  return isNot || isAway ? undefined : { ...entry, iatt: null, xattrs: null };
}
