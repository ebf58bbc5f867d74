/**
 * Moves one file, with all its names, to a child that one of them hashes to (docs/distribute.md, "What moves files"). The
 * data is copied into the linkto there while clients go on; then the file is held for a moment, what was written meanwhile
 * is copied once more, and the names change places.
 */
import {
  type Call,
  Errno,
  type Failure,
  FileType,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  type Xattrs,
} from '@mortar/core';
import { copyData, copySpans, copyXattrs } from './copy-file.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { asOf, beginWatch, endHold, endWatch, hold, nextWritten, written } from './hold.ts';
import { encodeLinkto, isMigrating, linktoMode, migratingBits, withoutMigratingBits } from './linkto.ts';
import { makeLinkto } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isData, isLeaving, isLinkto } from './lookup.ts';
import { type NameOfFile, namesOfFile } from './names-of-file.ts';

/** What was written to while it was copied is copied once more while it is held, if it is no larger. */
const recopyMaxBytes = 16 * 1024 * 1024;
/** Where it is known what was written: so much is left for the time when it is held, so often the rest is copied before. */
const lastRoundBytes = 1024 * 1024;
const roundsMax = 16;

export interface FileToMove {
  readonly parent: Gfid;
  readonly name: string;
  readonly gfid: Gfid;
  readonly from: number;
  readonly to: number;
}

export type Moved =
  | { outcome: 'moved'; bytes: number }
  /** It stays where it is and is found there. `isFinal`: waiting does not change that. */
  | { outcome: 'skipped'; reason: string; isFinal?: true }
  | { outcome: 'failed'; reason: string };

const skipped = (reason: string): Moved => ({ outcome: 'skipped', reason });
const failed = (reason: string): Moved => ({ outcome: 'failed', reason });

export async function migrateFile(d: Distribute, call: Call, file: FileToMove): Promise<Moved> {
  const own = { ...d.ownCall(call), lockOwner: d.nextLockOwner() };
  const source = await seen(d, own, file);
  if (!source) return skipped('it is gone');
  if (source.iatt.type !== FileType.regular) return moveSpecial(d, own, file, source.iatt);
  // A run that is killed while the names of such a file change places can leave it without any.
  if (source.iatt.nlink > 1) return { outcome: 'skipped', reason: 'it has several names', isFinal: true };
  const names = await allNames(d, own, file, source.iatt);
  if (!names) return skipped('not all of its names are known');
  const now = isLeaving(d, source) ? await movedTo(d, own, file) : undefined;
  if (now !== undefined) {
    const rest: FileToMove = { ...file, to: now };
    const left = await placesOf(d, own, rest, names, true);
    if (isFailure(left)) return failed(`its names cannot be placed: errno ${left.errno}`);
    const whole = { ...rest, places: left };
    return locked(d, own, whole, () => finishEarlier(d, own, whole, source.iatt.size));
  }
  const places = await placesOf(d, own, file, names);
  if (isFailure(places)) return failed(`its names cannot be placed: errno ${places.errno}`);
  if (places.some(({ child }) => child === file.from)) return skipped('another of its names belongs where it is');
  const all: WholeFile = { ...file, places };
  const prepared = await prepareTargets(d, own, all, source);
  if (prepared === 'complete') return locked(d, own, all, () => finishEarlier(d, own, all, source.iatt.size));
  if (prepared === 'open') return skipped('it was there before and is still open from then');
  if (prepared !== 'ready') return failed(prepared);
  const result = await copyAndSwitch(d, own, all, source.iatt);
  if (result.outcome !== 'moved') await emptyTarget(d, own, file);
  return result;
}

/** Where a marked file is already, by a move that was not ended. */
async function movedTo(d: Distribute, own: Call, { gfid, from }: FileToMove): Promise<number | undefined> {
  const others = d.indices.filter((i) => i !== from);
  const replies = await d.ask(others, (child) => child.lookup(own, askArgs(d, { loc: locOf(gfid) })));
  return others.find((_, i) => {
    const reply = replies[i]!;
    return isData(d, reply) && !isLeaving(d, reply);
  });
}

interface Place extends NameOfFile {
  /** Where the name hashes to. */
  readonly child: number;
}

/** A file with all its names. */
interface WholeFile extends FileToMove {
  readonly places: readonly Place[];
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
  byHash = names.length > 1,
): Promise<Place[] | Failure> {
  const places: Place[] = [];
  for (const { parent, name } of names) {
    const child = byHash ? await d.hashedOf(own, parent, name) : file.to;
    if (isFailure(child)) return child;
    places.push({ parent, name, child });
  }
  return places;
}

async function copyAndSwitch(d: Distribute, own: Call, file: WholeFile, source: Iatt): Promise<Moved> {
  const watching = await beginWatch(d, own, file);
  if (watching === 'busy') return skipped('somebody else moves it');
  try {
    if (!(await copyData(d, own, file, source.size))) return failed('its data cannot be copied');
    if (watching === 'watched' && !(await catchUp(d, own, file))) return failed('its data cannot be copied');
    return await locked(d, own, file, () => lastRound(d, own, file, source));
  } finally {
    if (watching === 'watched') await endWatch(d, own, file);
  }
}

/** Copies what was written meanwhile until little is left. */
async function catchUp(d: Distribute, own: Call, file: WholeFile): Promise<boolean> {
  for (let round = 0; round < roundsMax; round++) {
    const spans = await nextWritten(d, own, file);
    const now = await seen(d, own, file);
    if (!now || !spans) return true;
    const bytes = spans.reduce((sum, [start, end]) => sum + Math.max(0, Math.min(end, now.iatt.size) - start), 0);
    if (bytes <= lastRoundBytes) {
      // The next watch forgets them.
      return copySpans(d, own, file, spans, now.iatt.size);
    }
    if (!(await copySpans(d, own, file, spans, now.iatt.size))) return false;
  }
  return true;
}

/** While nobody else gets at the file. */
async function lastRound(d: Distribute, own: Call, file: WholeFile, source: Iatt): Promise<Moved> {
  const now = await seen(d, own, file);
  if (!now) return skipped('it is gone');
  if (!(await namesAre(d, own, file, now.iatt))) return skipped('its names change');
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
  if (!(await copyXattrs(d, own, file))) return failed('its extended attributes cannot be copied');
  return changePlaces(d, own, file, now);
}

async function namesAre(d: Distribute, own: Call, file: WholeFile, iatt: Iatt): Promise<boolean> {
  if (iatt.nlink !== file.places.length) return false;
  const names = await allNames(d, own, file, iatt);
  return (
    names?.every(({ parent, name }, i) => file.places[i]!.parent === parent && file.places[i]!.name === name) === true
  );
}

/** Runs `work` while nobody changes any of the file's names, nor opens or changes the file at its old place. */
async function locked(d: Distribute, own: Call, file: WholeFile, work: () => Promise<Moved>): Promise<Moved> {
  const { to } = file;
  const names = file.places.flatMap((place) => [place, { ...place, child: to }]);
  // Names first: who holds one may be about to ask for the file.
  const done = await withNames(d, own, names, () => held(d, own, file, work));
  return isFailure(done) ? failed(`its names cannot be locked: errno ${done.errno}`) : done;
}

async function held(d: Distribute, own: Call, file: WholeFile, work: () => Promise<Moved>): Promise<Moved> {
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
  const [reply] = await d.ask([from], (child) =>
    child.lookup(own, askArgs(d, { loc: locAt(parent, name), want: [d.names.movingMode] })),
  );
  return isData(d, reply!) && reply.iatt.gfid === gfid ? reply : undefined;
}

function isUnchanged(a: Iatt, b: Iatt): boolean {
  const same = (field: keyof Iatt) => a[field] === b[field];
  return (['size', 'mtime', 'mtimeNsec', 'ctime', 'ctimeNsec'] as const).every(same);
}

/** `ready`: linktos of this file are there; `complete`: all but the removal of the source was done before. */
async function prepareTargets(
  d: Distribute,
  own: Call,
  file: WholeFile,
  source: Found,
): Promise<'ready' | 'complete' | string> {
  for (const place of file.places) {
    const prepared = await prepareTarget(d, own, file, place, source);
    if (prepared !== 'ready') return prepared;
  }
  return 'ready';
}

async function prepareTarget(
  d: Distribute,
  own: Call,
  file: WholeFile,
  { parent, name }: NameOfFile,
  source: Found,
): Promise<'ready' | 'complete' | string> {
  const loc = locAt(parent, name);
  const look = async () =>
    (await d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc, want: [d.names.movingMode] }))))[0]!;
  let there = await look();
  if (there.ok && there.iatt.gfid !== file.gfid) return 'another file has its name there';
  if (isData(d, there)) {
    const [away, back] = [source, there].map((one) => one.xattrs[d.names.movingMode] !== undefined);
    if (isLeaving(d, source) && (!isLeaving(d, there) || (away && !back))) return 'complete';
    if (isLeaving(d, source) || !isLeaving(d, there)) return 'a file of its identity is there already';
    // It came from there, by a move that was not ended.
    await d.children[file.to]!.unlink(own, { loc: { ...loc, gfid: file.gfid } });
    there = await look();
  }
  if (!there.ok && !isAbsent(there)) return `the subvolume cannot be asked: errno ${there.errno}`;
  if (!isLinkto(d, there)) {
    const made = await makeLinkto(d, own, file.to, loc, source.iatt, file.from);
    // The brick has the identity still, without a name.
    if (!made.ok && made.errno === Errno.ENOENT) return 'open';
    if (!made.ok) return `no linkto can be made there: errno ${made.errno}`;
  }
  return 'ready';
}

/** A linkto is empty. */
async function emptyTarget(d: Distribute, own: Call, file: FileToMove): Promise<void> {
  const loc = locAt(file.parent, file.name);
  const [there] = await d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc })));
  if (isLinkto(d, there!) && there.iatt.gfid === file.gfid)
    await d.children[file.to]!.truncate(own, { loc: locOf(file.gfid), size: 0 });
}

/** The copy becomes the file, the file goes. The mark on the file says so to whoever finds it should this end halfway. */
async function changePlaces(d: Distribute, own: Call, file: WholeFile, source: Found): Promise<Moved> {
  const { iatt } = source;
  const loc = locOf(file.gfid);
  const to = d.children[file.to]!;
  const mode = ownMode(d, source);
  if (!(await mark(d, own, file, iatt, mode))) return failed('it cannot be marked');
  const attr = {
    mode,
    uid: iatt.uid,
    gid: iatt.gid,
    atime: { sec: iatt.atime, nsec: iatt.atimeNsec },
    mtime: { sec: iatt.mtime, nsec: iatt.mtimeNsec },
    ctime: { sec: iatt.ctime, nsec: iatt.ctimeNsec },
  };
  const takeBack = async (what: string, errno: Errno): Promise<Moved> => {
    await unmark(d, own, file, iatt, mode);
    return failed(`${what}: errno ${errno}`);
  };
  const shown = await to.setattr(own, { loc, attr });
  if (!shown.ok) return takeBack('its copy cannot be made the file', shown.errno);
  const cleared = await to.removexattr(asOf(own, iatt), { loc, name: d.names.linkto });
  // A file of just this mode is a linkto as long as it has the attribute.
  if (!cleared.ok && attr.mode === linktoMode) return takeBack('its copy stays a linkto', cleared.errno);
  if (!cleared.ok) d.warn(`${file.gfid}: a linkto's attribute stays on the moved file: errno ${cleared.errno}`);
  return finish(d, own, file, iatt.size);
}

/** Never a file that looks like a linkto in between. */
async function unmark(d: Distribute, own: Call, { gfid, from }: FileToMove, iatt: Iatt, mode: number): Promise<void> {
  const loc = locOf(gfid);
  const as = asOf(own, iatt);
  const child = d.children[from]!;
  await child.removexattr(as, { loc, name: d.names.linkto });
  await child.setattr(as, { loc, attr: { mode, ctime: { sec: iatt.ctime, nsec: iatt.ctimeNsec } } });
  await child.removexattr(as, { loc, name: d.names.movingMode });
}

/**
 * A file with the mark of a move that was not ended, where it belongs now: if it is elsewhere already, this name of what
 * is left of it goes, else the mark does.
 */
export async function clearMark(d: Distribute, call: Call, file: FileToMove): Promise<void> {
  const own = { ...d.ownCall(call), lockOwner: d.nextLockOwner() };
  const loc = locAt(file.parent, file.name);
  await withNames(d, own, [{ child: file.from, parent: file.parent, name: file.name }], async () => {
    const source = await seen(d, own, file);
    if (!source || !isMarked(d, source)) return { ok: true as const };
    const others = d.indices.filter((i) => i !== file.from);
    const replies = await d.ask(others, (child) => child.lookup(own, askArgs(d, { loc })));
    const now = others.find((_, i) => {
      const reply = replies[i]!;
      return isData(d, reply) && reply.iatt.gfid === file.gfid && !isLeaving(d, reply);
    });
    if (now === undefined) {
      if (replies.every((reply) => reply.ok || isAbsent(reply)))
        await unmark(d, own, file, source.iatt, ownMode(d, source));
      return { ok: true as const };
    }
    await d.children[file.from]!.unlink(own, { loc: { ...loc, gfid: file.gfid } });
    const there = await d.children[now]!.stat(own, { loc: locOf(file.gfid) });
    if (there.ok) await makeLinkto(d, own, file.from, loc, there.iatt, now);
    d.remember(file.gfid, { kind: 'file', child: now });
    return { ok: true as const };
  });
}

function isMarked(d: Distribute, { iatt, xattrs }: Found): boolean {
  return isMigrating(iatt) && (xattrs[d.names.linkto] !== undefined || xattrs[d.names.movingMode] !== undefined);
}

/** An earlier attempt may have left its mark. */
function ownMode(d: Distribute, source: Found): number {
  const kept = source.xattrs[d.names.movingMode];
  const mode = isMigrating(source.iatt) && kept ? Number.parseInt(Buffer.from(kept).toString('latin1'), 8) : Number.NaN;
  const known = mode >= 0 && mode <= 0o7777;
  return known ? mode : withoutMigratingBits(source.iatt, source.xattrs, d.names.linkto).mode;
}

async function mark(d: Distribute, own: Call, file: FileToMove, iatt: Iatt, mode: number): Promise<boolean> {
  const loc = locOf(file.gfid);
  const from = d.children[file.from]!;
  const as = asOf(own, iatt);
  const target: Xattrs = { [d.names.linkto]: encodeLinkto(d.childName(file.to)) };
  const kept: Xattrs = { [d.names.movingMode]: Buffer.from(mode.toString(8)) };
  // A file of just this mode would be taken for a linkto.
  const isAlike = mode === linktoMode;
  const first = await from.setxattr(as, { loc, xattrs: isAlike ? kept : { ...target, ...kept }, flags: 0 });
  if (!first.ok) return false;
  const ctime = { sec: iatt.ctime, nsec: iatt.ctimeNsec };
  if (!(await from.setattr(as, { loc, attr: { mode: mode | migratingBits, ctime } })).ok) return false;
  return !isAlike || (await from.setxattr(as, { loc, xattrs: target, flags: 0 })).ok;
}

/** A move that ended when the copy was the file already. */
async function finishEarlier(d: Distribute, own: Call, file: WholeFile, bytes: number): Promise<Moved> {
  const loc = locOf(file.gfid);
  const now = await d.children[file.to]!.stat(own, { loc });
  if (now.ok) await d.children[file.to]!.removexattr(asOf(own, now.iatt), { loc, name: d.names.linkto });
  return finish(d, own, file, bytes);
}

/** The linktos of its other names lead to the copy, which is the file already; then its old names go. */
async function finish(d: Distribute, own: Call, file: WholeFile, bytes: number): Promise<Moved> {
  d.remember(file.gfid, { kind: 'file', child: file.to });
  const there = await d.children[file.to]!.stat(own, { loc: locOf(file.gfid) });
  for (const { parent, name, child } of file.places) {
    if (child === file.to || child === file.from || !there.ok) continue;
    const led = await makeLinkto(d, own, child, locAt(parent, name), there.iatt, file.to);
    // Whoever looks the name up finds the file all the same, and mends it.
    if (!led.ok) d.warn(`${parent}/${name}: its linkto does not lead to its new place: errno ${led.errno}`);
  }
  for (const { parent, name } of file.places) {
    const loc = locAt(parent, name, file.gfid);
    const removed = await d.children[file.from]!.unlink(own, { loc, xdata: { movedAway: true } });
    if (!removed.ok && removed.errno === Errno.ENOENT) {
      // Somebody removed the name in between, and meant all of it.
      await d.children[file.to]!.unlink(own, { loc: locAt(parent, name, file.gfid) });
      if (file.places.length === 1) return skipped('it is gone');
    } else if (!removed.ok) return failed(`its old place cannot be cleared: errno ${removed.errno}`);
  }
  return { outcome: 'moved', bytes };
}

/** Links, devices, pipes and sockets have no data: they are made anew. */
async function moveSpecial(d: Distribute, own: Call, file: FileToMove, iatt: Iatt): Promise<Moved> {
  const loc = locAt(file.parent, file.name);
  if (iatt.nlink > 1) return skipped('it has several names');
  const made = await withNames(d, own, [{ child: file.to, parent: file.parent, name: file.name }], async () => {
    const [there] = await d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc })));
    if (isLinkto(d, there!) && there.iatt.gfid === file.gfid) await d.children[file.to]!.unlink(own, { loc });
    else if (!isAbsent(there)) return failed('another file has its name there');
    const reply = await makeSpecial(d, own, file, iatt);
    if (!reply.ok) return failed(`it cannot be made there: errno ${reply.errno}`);
    const { mode, uid, gid } = iatt;
    const attr = { uid, gid, ...(iatt.type !== FileType.symlink && { mode }) };
    await d.children[file.to]!.setattr(own, { loc: locOf(file.gfid), attr });
    await copyXattrs(d, own, file);
    const { parent, name } = file;
    return finish(d, own, { ...file, places: [{ parent, name, child: file.to }] }, 0);
  });
  return isFailure(made) ? failed(`its name cannot be locked: errno ${made.errno}`) : made;
}

async function makeSpecial(d: Distribute, own: Call, { parent, name, gfid, from, to }: FileToMove, iatt: Iatt) {
  const loc = locAt(parent, name);
  const as = d.callAs(own, iatt);
  if (iatt.type !== FileType.symlink) {
    const { rdevMajor, rdevMinor } = iatt;
    const mode = (iatt.type << 12) | iatt.mode;
    return d.children[to]!.mknod(as, { loc, mode, rdevMajor, rdevMinor, gfid });
  }
  const link = await d.children[from]!.readlink(own, { loc: locOf(gfid) });
  return link.ok ? d.children[to]!.symlink(as, { loc, target: link.target, gfid }) : link;
}
