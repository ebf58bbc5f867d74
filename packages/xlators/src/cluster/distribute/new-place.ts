/** Where a file goes: linktos of all its names there, and of no other name, as they will be the file's when it has come. */
import { type Call, Errno, type Gfid, locAt, locOf } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { beginWatch, endHold, endWatch, holdNow } from './hold.ts';
import { linktoTarget } from './linkto.ts';
import { makeLinkto, removeLinkto, removeStaleLinkto } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isData, isLinkto } from './lookup.ts';
import { removeMark } from './marks.ts';
import { type FileToMove, failed, type Moved, type Place, skipped, type WholeFile } from './moved.ts';
import { namesOfFile } from './names-of-file.ts';
import { isShared } from './share.ts';
import { inTurn } from './turns.ts';

/** Undefined: all is ready. */
export async function prepareNewPlace(
  d: Distribute,
  own: Call,
  file: WholeFile,
  source: Found,
): Promise<Moved | undefined> {
  for (const place of file.places) {
    const refused = await prepareName(d, own, file, place, source);
    if (refused) return refused;
  }
  return (await hasAll(d, own, file)) ? undefined : removeOthers(d, own, file);
}

async function prepareName(
  d: Distribute,
  own: Call,
  file: WholeFile,
  { parent, name }: Place,
  source: Found,
): Promise<Moved | undefined> {
  const loc = locAt(parent, name);
  const want = [d.names.moving];
  const look = () => d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc, want })));
  let [there] = await look();
  if (isLinkto(d, there!) && there.iatt.gfid !== file.gfid) {
    // Of one that had the name before.
    await removeStaleLinkto(d, own, file.to, loc);
    [there] = await look();
  }
  if (there!.ok && there!.iatt.gfid !== file.gfid) return failed('another file has its name there');
  if (isData(d, there!)) return failed('a file of its identity is there already');
  if (!there!.ok && !isAbsent(there)) return failed(`its new place cannot be asked: errno ${there!.errno}`);
  if (isLinkto(d, there!)) return clearMarks(d, own, file, there);
  const made = await makeLinkto(d, own, file.to, loc, source.iatt, file.from);
  if (made.ok) return undefined;
  // The brick has the identity still, without a name.
  if (made.errno === Errno.ENOENT) return skipped('it was there before and is still open from then');
  return failed(`no linkto can be made there: errno ${made.errno}`);
}

/** What a move away from there has left, that ended when the old place was a linkto already: it would be on the file that comes. */
async function clearMarks(d: Distribute, own: Call, file: WholeFile, there: Found): Promise<Moved | undefined> {
  for (const name of [d.names.movingMode, d.names.moving]) {
    if (!there.xattrs[name]) continue;
    const removed = await removeMark(d, own, file.to, there.iatt, name);
    if (!removed.ok) return failed(`a mark cannot be taken off its new place: errno ${removed.errno}`);
  }
  return undefined;
}

/** Whether the linkto there has the file's names and no others. */
export async function hasAll(d: Distribute, own: Call, file: WholeFile): Promise<boolean> {
  const { places, gfid, to } = file;
  const [{ parent, name }] = places as [Place];
  const [there] = await d.ask([to], (child) => child.lookup(own, askArgs(d, { loc: locAt(parent, name) })));
  if (!isLinkto(d, there!) || there.iatt.gfid !== gfid || there.iatt.nlink !== places.length) return false;
  if (places.length === 1) return true;
  const names = await namesOfFile(d, own, to, gfid);
  return names?.every((one) => places.some((place) => place.parent === one.parent && place.name === one.name)) === true;
}

async function removeOthers(d: Distribute, own: Call, file: WholeFile): Promise<Moved | undefined> {
  const names = await namesOfFile(d, own, file.to, file.gfid);
  if (!names) return skipped('not all names of its linkto are known');
  for (const { parent, name } of names)
    if (!file.places.some((place) => place.parent === parent && place.name === name))
      await removeStaleLinkto(d, own, file.to, locAt(parent, name));
  return (await hasAll(d, own, file)) ? undefined : skipped('its names change');
}

/** The copy of a move that did not come about goes: a linkto is empty. */
export async function emptyNewPlace(d: Distribute, own: Call, file: FileToMove): Promise<void> {
  const loc = locOf(file.gfid);
  const [there] = await d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc })));
  if (isLinkto(d, there!)) await emptyLinkto(d, own, file.gfid, file.to);
}

/**
 * Another process may fill it, or have made it the file since somebody looked: it is emptied by who holds it, and stays as it is if somebody
 * else has it in hand.
 */
async function emptyLinkto(d: Distribute, own: Call, gfid: Gfid, child: number): Promise<void> {
  const loc = locOf(gfid);
  const to = d.children[child]!;
  if (!isShared(d)) {
    await to.truncate(own, { loc, size: 0 });
    return;
  }
  const held = { gfid, from: child };
  if (!(await holdNow(d, own, held))) return;
  try {
    const now = await to.lookup(own, askArgs(d, { loc }));
    if (isLinkto(d, now) && now.iatt.size > 0) await to.truncate(own, { loc, size: 0, xdata: { whileHeld: true } });
  } finally {
    await endHold(d, own, held);
  }
}

/** A linkto of no use, of a file that nobody moves: its copy goes, and itself when its name does not hash to there. */
export async function tidyLinkto(
  d: Distribute,
  call: Call,
  { parent, name, gfid, from, to }: FileToMove,
): Promise<void> {
  const own = { ...d.ownCall(call), lockOwner: d.nextLockOwner() };
  const loc = locAt(parent, name);
  await inTurn(d, gfid, async () => {
    const found = await d.children[from]!.lookup(own, askArgs(d, { loc }));
    if (!isLinkto(d, found) || found.iatt.gfid !== gfid) return;
    const file = d.childNamed(linktoTarget(found.iatt, found.xattrs, d.names.linkto)!);
    if (file === undefined || file === from) return;
    const watched = { gfid, from: file };
    const watching = await beginWatch(d, own, watched);
    // Somebody may be filling it.
    if (watching === 'busy') return;
    try {
      const again = await d.children[from]!.lookup(own, askArgs(d, { loc }));
      if (!isLinkto(d, again) || again.iatt.gfid !== gfid) return;
      if (again.iatt.size > 0) await emptyLinkto(d, own, gfid, from);
      if (to === from) return;
      const names = [
        { child: from, parent, name },
        { child: to, parent, name },
      ];
      await withNames(d, own, names, () => removeLinkto(d, own, from, loc));
    } finally {
      if (watching === 'watched') await endWatch(d, own, watched);
    }
  });
}
