/** What an administrator asks of a mount by setting an attribute: move this file, lay this directory out anew. */
import { type Args, type Call, Errno, type Failure, fail, type Gfid, type Loc, type Reply } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { fixLayout } from './fix-layout.ts';
import { discover } from './lookup.ts';
import { migrateFile } from './migrate.ts';
import { Room } from './room.ts';

/** On a file; `force`: whatever room there is. */
const migrateName = 'trusted.distribute.migrate-data';
const fixNames = ['distribute.fix.layout', 'trusted.distribute.fix.layout'];

/** Undefined: the attributes ask for nothing of the kind. */
export function doneByHand(d: Distribute, call: Call, args: Args<'setxattr'>): Promise<Reply<'setxattr'>> | undefined {
  const value = args.xattrs[migrateName];
  if (value) return asRoot(call, () => migrateByHand(d, call, args.loc, Buffer.from(value).toString('latin1')));
  if (fixNames.some((name) => args.xattrs[name])) return asRoot(call, () => fixByHand(d, call, args.loc));
  return undefined;
}

async function asRoot(call: Call, work: () => Promise<Reply<'setxattr'>>): Promise<Reply<'setxattr'>> {
  return call.uid === 0 ? work() : fail(Errno.EPERM);
}

/** EEXIST: it is where it belongs. */
async function migrateByHand(d: Distribute, call: Call, loc: Loc, value: string): Promise<Reply<'setxattr'>> {
  const state = await d.locateLoc(call, loc);
  if (isFailure(state)) return state;
  const place = nameOf(d, loc, state.gfid);
  if (state.kind !== 'file' || !place) return fail(Errno.EINVAL);
  // Another process may have laid the directory out anew.
  await discover(d, d.ownCall(call), place.parent);
  const to = await d.hashedOf(call, place.parent, place.name);
  if (isFailure(to)) return to;
  if (to === state.child) return fail(Errno.EEXIST);
  const found = await d.children[state.child]!.stat(d.ownCall(call), {
    loc: { gfid: state.gfid, parent: null, name: null },
  });
  if (!found.ok) return found;
  const kind = value.startsWith('force') ? 'force' : 'migrate';
  if (!(await new Room(d, () => undefined).has(call, found.iatt, state.child, to, kind))) return fail(Errno.ENOSPC);
  const moved = await migrateFile(d, call, { ...place, gfid: state.gfid, from: state.child, to });
  if (moved.outcome === 'moved') return { ok: true };
  return fail(moved.outcome === 'skipped' ? Errno.EBUSY : Errno.EIO);
}

function nameOf(d: Distribute, loc: Loc, gfid: Gfid): { parent: Gfid; name: string } | undefined {
  if (loc.parent !== null && loc.name !== null) return { parent: loc.parent, name: loc.name };
  const inode = d.services.inodes.find(gfid);
  return inode?.parent && inode.name !== null ? { parent: inode.parent, name: inode.name } : undefined;
}

async function fixByHand(d: Distribute, call: Call, loc: Loc): Promise<{ ok: true } | Failure> {
  const state = await d.locateLoc(call, loc);
  if (isFailure(state)) return state;
  if (state.kind !== 'directory') return fail(Errno.ENOTDIR);
  return (await fixLayout(d, call, state.gfid)) ? { ok: true } : fail(Errno.EIO);
}
