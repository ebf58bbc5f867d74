/**
 * Moves one file, with all its names, to a child that one of them hashes to (docs/distribute.md, "What moves files"). The
 * data is copied into the linkto there while clients go on; then the file is held for a moment, what was written meanwhile
 * is copied once more, and the names change places.
 */
import { type Call, type Failure, FileType, type Iatt, locAt, locOf, type Xattrs } from '@mortar/core';
import { copyData, copyOwnerAndXattrs, copySpans } from './copy-file.ts';
import { type Distribute, isFailure } from './distribute.ts';
import {
  beginGuard,
  beginWatch,
  clearBarrier,
  endGuard,
  endHold,
  endWatch,
  hold,
  isGuarded,
  nextWritten,
  written,
} from './hold.ts';
import { makeLinkto } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { askArgs, type Found, isData } from './lookup.ts';
import { leaveLinkto, mark, ownMode, removeMark, unmark } from './marks.ts';
import { isSmall, migrateSmall } from './migrate-small.ts';
import { type FileToMove, failed, leftUnsettled, type Moved, type Place, skipped, type WholeFile } from './moved.ts';
import { type NameOfFile, namesOfFile } from './names-of-file.ts';
import { emptyNewPlace, hasAll, prepareNewPlace } from './new-place.ts';
import { settleInTurn } from './settle.ts';
import { isShared } from './share.ts';
import { heldMaxMs, show } from './show.ts';
import { moveSpecial } from './special.ts';
import { inTurn } from './turns.ts';

/** What was written to while it was copied is copied once more while it is held, if it is no larger. */
const recopyMaxBytes = 16 * 1024 * 1024;
/** Where it is known what was written: so much is left for the time when it is held, so often the rest is copied before. */
const lastRoundBytes = 1024 * 1024;
const roundsMax = 16;

export interface Listed {
  readonly iatt: Iatt;
  readonly xattrs: Xattrs;
}

/** Whether nobody else can have got at the file since it was held. */
type IsOurs = () => Promise<boolean>;

/** One name at a time of a file with several: the first takes the others along. `listed`: what a listing said of it. */
export function migrateFile(d: Distribute, call: Call, file: FileToMove, listed?: Listed): Promise<Moved> {
  return inTurn(d, file.gfid, () => migrate(d, call, file, listed));
}

async function migrate(d: Distribute, call: Call, file: FileToMove, listed: Listed | undefined): Promise<Moved> {
  const own = { ...d.ownCall(call), lockOwner: d.nextLockOwner() };
  const moved = listed && isSmall(d, listed) ? await migrateSmall(d, own, file, listed.iatt) : undefined;
  if (moved) {
    if (moved.outcome !== 'moved') await emptyNewPlace(d, own, file);
    return moved;
  }
  const found = await seen(d, own, file);
  if (!found) return skipped('it is gone');
  if (found.iatt.type !== FileType.regular) return moveSpecial(d, own, file, found);
  if (found.xattrs[d.names.linkto] !== undefined || found.xattrs[d.names.movingMode] !== undefined) {
    const done = await settleInTurn(d, own, file.gfid);
    if (!done.ok) return leftUnsettled(`what is left of an earlier move cannot be settled: errno ${done.errno}`);
  }
  return migrateLarge(d, own, file);
}

/** Or a small one that is not simple: while it is watched what is written to it. */
async function migrateLarge(d: Distribute, own: Call, file: FileToMove): Promise<Moved> {
  const watching = await beginWatch(d, own, file);
  if (watching === 'busy') return skipped('somebody else moves it');
  let isClear = true;
  let moved: Moved;
  try {
    const isTold = watching === 'watched' && (await written(d, own, file)) !== undefined;
    moved = await migrateWatched(d, own, file, isTold);
  } finally {
    if (watching === 'watched') isClear = await endWatch(d, own, file);
  }
  return isClear ? moved : { ...moved, isUnsettled: true };
}

async function migrateWatched(d: Distribute, own: Call, file: FileToMove, isTold: boolean): Promise<Moved> {
  const source = await seen(d, own, file);
  if (!source) return skipped('it is gone');
  const names = await allNames(d, own, file, source.iatt);
  if (!names) return skipped('not all of its names are known');
  const places = await placesOf(d, own, file, names);
  if (isFailure(places)) return failed(`its names cannot be placed: errno ${places.errno}`);
  if (places.some(({ child }) => child === file.from)) return skipped('another of its names belongs where it is');
  const all: WholeFile = { ...file, places };
  const refused = await prepareNewPlace(d, own, all, source);
  if (refused) return refused;
  const result = await whileGuarded(d, own, all, (isWhole) => copyAndSwitch(d, own, all, source.iatt, isTold, isWhole));
  if (result.outcome !== 'moved') await emptyNewPlace(d, own, file);
  return result;
}

async function allNames(d: Distribute, own: Call, file: FileToMove, iatt: Iatt): Promise<NameOfFile[] | undefined> {
  const { parent, name } = file;
  return iatt.nlink > 1 ? namesOfFile(d, own, file.from, file.gfid) : [{ parent, name }];
}

async function placesOf(
  d: Distribute,
  own: Call,
  file: FileToMove,
  names: readonly NameOfFile[],
): Promise<Place[] | Failure> {
  const places: Place[] = [];
  for (const { parent, name } of names) {
    const child = names.length > 1 ? await d.hashedOf(own, parent, name) : file.to;
    if (isFailure(child)) return child;
    places.push({ parent, name, child });
  }
  return places;
}

/** Of several processes one fills the linkto; `isWhole`: no other can have emptied it since. */
async function whileGuarded(
  d: Distribute,
  own: Call,
  file: WholeFile,
  work: (isWhole: IsOurs) => Promise<Moved>,
): Promise<Moved> {
  if (!isShared(d)) return work(async () => true);
  const there = { gfid: file.gfid, from: file.to };
  const guard = await beginGuard(d, own, there);
  if (guard === 'busy') return skipped('somebody else is at its new place');
  if (guard === 'unguarded') return work(async () => true);
  try {
    return await work(() => isGuarded(d, own, there));
  } finally {
    await endGuard(d, own, there);
  }
}

async function copyAndSwitch(
  d: Distribute,
  own: Call,
  file: WholeFile,
  source: Iatt,
  isTold: boolean,
  isWhole: IsOurs,
): Promise<Moved> {
  if (!(await copyData(d, own, file, source.size))) return failed('its data cannot be copied');
  if (isTold && !(await catchUp(d, own, file))) return failed('its data cannot be copied');
  return locked(d, own, file, async (untilMs) => {
    // The old place forgets the watch with the hold when it loses touch with us.
    const isTimely = () => d.services.clock.nowMs() < untilMs;
    const isOurs = async () => isTimely() && (!isTold || !!(await written(d, own, file))) && (await isWhole());
    return lastRound(d, own, file, source, isOurs);
  });
}

/** Copies what was written meanwhile until little is left. */
async function catchUp(d: Distribute, own: Call, file: WholeFile): Promise<boolean> {
  for (let round = 0; round < roundsMax; round++) {
    const spans = await nextWritten(d, own, file);
    const now = await seen(d, own, file);
    if (!now || !spans) return true;
    const bytes = spans.reduce((sum, [start, end]) => sum + Math.max(0, Math.min(end, now.iatt.size) - start), 0);
    if (spans.length === 0) return true;
    if (bytes <= lastRoundBytes) {
      // The next watch forgets them.
      return copySpans(d, own, file, spans, now.iatt.size);
    }
    if (!(await copySpans(d, own, file, spans, now.iatt.size))) return false;
  }
  return true;
}

/** While nobody else gets at the file. */
async function lastRound(d: Distribute, own: Call, file: WholeFile, source: Iatt, isOurs: IsOurs): Promise<Moved> {
  const now = await seen(d, own, file);
  if (!now) return skipped('it is gone');
  if (!(await namesAre(d, own, file, now.iatt)) || !(await hasAll(d, own, file))) return skipped('its names change');
  const { size } = now.iatt;
  const spans = await written(d, own, file);
  if (spans) {
    const bytes = spans.reduce((sum, [start, end]) => sum + Math.max(0, Math.min(end, size) - start), 0);
    if (bytes > 4 * recopyMaxBytes) return skipped('it is being written');
    if (spans.length > 0 && !(await copySpans(d, own, file, spans, size))) return failed('its data cannot be copied');
  } else if (!isUnchanged(source, now.iatt)) {
    if (size > recopyMaxBytes) return skipped('it is being written');
    if (!(await copyData(d, own, file, size))) return failed('its data cannot be copied');
  }
  // Who believed the file there has written to the linkto before he came here.
  if (!(await isAsLong(d, own, file, size)) && !(await copyData(d, own, file, size)))
    return failed('its data cannot be copied');
  if (!(await copyOwnerAndXattrs(d, own, file, now.iatt)))
    return failed('its owner or extended attributes cannot be copied');
  return changePlaces(d, own, file, now, isOurs);
}

async function isAsLong(d: Distribute, own: Call, { gfid, to }: WholeFile, size: number): Promise<boolean> {
  const there = await d.children[to]!.stat(own, { loc: locOf(gfid) });
  return there.ok && there.iatt.size === size;
}

async function namesAre(d: Distribute, own: Call, file: WholeFile, iatt: Iatt): Promise<boolean> {
  if (iatt.nlink !== file.places.length) return false;
  const names = await allNames(d, own, file, iatt);
  return (
    names?.every(({ parent, name }, i) => file.places[i]!.parent === parent && file.places[i]!.name === name) === true
  );
}

/** Runs `work` while nobody changes any of the file's names, nor opens or changes the file at its old place. */
async function locked(
  d: Distribute,
  own: Call,
  file: WholeFile,
  work: (untilMs: number) => Promise<Moved>,
): Promise<Moved> {
  const { to } = file;
  const names = file.places.flatMap((place) => [place, { ...place, child: to }]);
  // Names first: who holds one may be about to ask for the file. The new place: its linkto gets no names meanwhile.
  const done = await withNames(d, own, names, () =>
    held(d, own, { ...file, from: to }, () => {
      const untilMs = d.services.clock.nowMs() + heldMaxMs;
      return held(d, own, file, () => work(untilMs));
    }),
  );
  return isFailure(done) ? failed(`its names cannot be locked: errno ${done.errno}`) : done;
}

async function held(d: Distribute, own: Call, file: FileToMove, work: () => Promise<Moved>): Promise<Moved> {
  const got = await hold(d, own, file);
  if (got === 'locked') return skipped('it is locked');
  if (got === 'busy') return skipped('it is in use');
  if (got !== 'held' && got !== 'alone') return failed(`it cannot be held: errno ${got.errno}`);
  try {
    return await work();
  } finally {
    if (got === 'held') await endHold(d, own, file);
  }
}

/** What is under the name on the child that it is moved away from, if it is this file. */
async function seen(d: Distribute, own: Call, { parent, name, gfid, from }: FileToMove): Promise<Found | undefined> {
  const [reply] = await d.ask([from], (child) => child.lookup(own, askArgs(d, { loc: locAt(parent, name) })));
  return isData(d, reply!) && reply.iatt.gfid === gfid ? reply : undefined;
}

function isUnchanged(a: Iatt, b: Iatt): boolean {
  const same = (field: keyof Iatt) => a[field] === b[field];
  return (['size', 'mtime', 'mtimeNsec', 'ctime', 'ctimeNsec'] as const).every(same);
}

/** The copy becomes the file, the file a linkto. The mark on the file says so to whoever finds it should this end halfway. */
async function changePlaces(d: Distribute, own: Call, file: WholeFile, source: Found, isOurs: IsOurs): Promise<Moved> {
  if (!(await isOurs())) return skipped('it took too long');
  if (!(await mark(d, own, file, source.iatt, ownMode(d, source)))) {
    const isTakenBack = await unmark(d, own, file, source);
    return isTakenBack ? failed('it cannot be marked') : leftUnsettled('it cannot be marked');
  }
  const notShown = await show(d, own, file, source, !(await isOurs()));
  if (notShown) return notShown;
  const [old] = await d.ask([file.from], (child) => child.lookup(own, askArgs(d, { loc: locOf(file.gfid) })));
  if (!isData(d, old!) || !(await leaveLinkto(d, own, file, old)))
    return leftUnsettled('its old place cannot be made a linkto');
  const settled = await removeMark(d, own, file.to, source.iatt, d.names.linkto);
  const isSettled = (await tidyNames(d, own, file)) && settled.ok;
  return { outcome: 'moved', bytes: source.iatt.size, ...(!isSettled && { isUnsettled: true }) };
}

/** Linktos where the names hash to lead to the new place; those at the old one have no use. False: an earlier run's barrier may be left. */
async function tidyNames(d: Distribute, own: Call, file: WholeFile): Promise<boolean> {
  d.remember(file.gfid, { kind: 'file', child: file.to });
  const want = [d.names.moving];
  const there = await d.children[file.to]!.lookup(own, { loc: locOf(file.gfid), want });
  const hasBarrier = there.ok && there.xattrs[d.names.moving] !== undefined;
  const isClear = hasBarrier ? await clearBarrier(d, own, { gfid: file.gfid, from: file.to }) : there.ok;
  for (const { parent, name, child } of file.places) {
    if (child === file.to || !there.ok) continue;
    const led = await makeLinkto(d, own, child, locAt(parent, name), there.iatt, file.to);
    // Whoever looks the name up finds the file all the same, and mends it.
    if (!led.ok) d.warn(`${parent}/${name}: its linkto does not lead to its new place: errno ${led.errno}`);
  }
  for (const { parent, name } of file.places) {
    const loc = locAt(parent, name, file.gfid);
    const removed = await d.children[file.from]!.unlink(own, { loc, xdata: { movedAway: true } });
    if (!removed.ok) d.warn(`${parent}/${name}: a linkto stays at its old place: errno ${removed.errno}`);
  }
  return isClear;
}
