/**
 * Moves one file to the child that its name hashes to (docs/distribute.md, "What moves files"). The data is copied into
 * the linkto there while clients go on; then the file is held for a moment, compared, and the names change places.
 */
import { type Args, type Call, Errno, FileType, type Gfid, type Iatt, locAt, locOf, type Xattrs } from '@mortar/core';
import { copyData, copyXattrs } from './copy-file.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { encodeLinkto, isMigrating, linktoMode, migratingBits, withoutMigratingBits } from './linkto.ts';
import { makeLinkto } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { askArgs, type Found, isAbsent, isData, isLinkto } from './lookup.ts';

/** As features/locks knows it. */
const migrationDomain = 'dht.file.migrate';
/** What was written to while it was copied is copied once more while it is held, if it is no larger. */
const recopyMaxBytes = 16 * 1024 * 1024;

export interface FileToMove {
  readonly parent: Gfid;
  readonly name: string;
  readonly gfid: Gfid;
  readonly from: number;
  readonly to: number;
}

export type Moved =
  | { outcome: 'moved'; bytes: number }
  /** In use, or with several names: it stays where it is and is found there. */
  | { outcome: 'skipped'; reason: string }
  | { outcome: 'failed'; reason: string };

const skipped = (reason: string): Moved => ({ outcome: 'skipped', reason });
const failed = (reason: string): Moved => ({ outcome: 'failed', reason });

export async function migrateFile(d: Distribute, call: Call, file: FileToMove): Promise<Moved> {
  const own = { ...d.ownCall(call), lockOwner: d.nextLockOwner() };
  const source = await seen(d, own, file);
  if (!source) return skipped('it is gone');
  if (source.iatt.type !== FileType.regular) return moveSpecial(d, own, file, source.iatt);
  if (source.iatt.nlink > 1) return skipped('it has several names');
  const marked = isMigrating(source.iatt) && source.xattrs[d.names.linkto] !== undefined;
  const prepared = await prepareTarget(d, own, file, source.iatt, marked);
  if (prepared === 'complete') return held(d, own, file, () => finish(d, own, file, source.iatt.size));
  if (prepared !== 'ready') return failed(prepared);
  const result = await copyAndSwitch(d, own, file, source.iatt);
  if (result.outcome !== 'moved') await emptyTarget(d, own, file);
  return result;
}

async function copyAndSwitch(d: Distribute, own: Call, file: FileToMove, source: Iatt): Promise<Moved> {
  if (!(await copyData(d, own, file, source.size))) return failed('its data cannot be copied');
  return held(d, own, file, async () => {
    const now = await seen(d, own, file);
    if (!now) return skipped('it is gone');
    if (now.iatt.nlink > 1) return skipped('it has several names');
    if (!isUnchanged(source, now.iatt)) {
      if (now.iatt.size > recopyMaxBytes) return skipped('it is being written');
      if (!(await copyData(d, own, file, now.iatt.size))) return failed('its data cannot be copied');
    }
    if (!(await copyXattrs(d, own, file))) return failed('its extended attributes cannot be copied');
    const names = [{ child: file.to, parent: file.parent, name: file.name }];
    const switched = await withNames(d, own, names, () => changePlaces(d, own, file, now));
    return isFailure(switched) ? failed(`its name cannot be locked: errno ${switched.errno}`) : switched;
  });
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

/** `ready`: an empty linkto of this file is there; `complete`: all but the removal of the source was done before. */
async function prepareTarget(
  d: Distribute,
  own: Call,
  file: FileToMove,
  source: Iatt,
  marked: boolean,
): Promise<'ready' | 'complete' | string> {
  const loc = locAt(file.parent, file.name);
  const [there] = await d.ask([file.to], (child) => child.lookup(own, askArgs(d, { loc })));
  if (there!.ok && there!.iatt.gfid !== file.gfid) return 'another file has its name there';
  if (isData(d, there!)) return marked ? 'complete' : 'a file of its identity is there already';
  if (!there!.ok && !isAbsent(there)) return `the subvolume cannot be asked: errno ${there!.errno}`;
  if (!isLinkto(d, there!)) {
    const made = await makeLinkto(d, own, file.to, loc, source, file.from);
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

/** Runs `work` while nobody else opens or changes the file at its old place. */
async function held(d: Distribute, own: Call, file: FileToMove, work: () => Promise<Moved>): Promise<Moved> {
  const child = d.children[file.from]!;
  const args = (command: 'try' | 'unlock'): Args<'inodelk'> => ({
    loc: locOf(file.gfid),
    domain: migrationDomain,
    command,
    flock: { type: command === 'unlock' ? 'unlock' : 'write', start: 0, length: 0, owner: own.lockOwner, pid: 0 },
  });
  const taken = await child.inodelk(own, args('try'));
  if (!taken.ok && taken.errno === Errno.EAGAIN) return skipped('it is open');
  const alone = !taken.ok && (taken.errno === Errno.EOPNOTSUPP || taken.errno === Errno.ENOSYS);
  if (!taken.ok && !alone) return failed(`it cannot be held: errno ${taken.errno}`);
  try {
    return await work();
  } finally {
    if (!alone) await child.inodelk(own, args('unlock'));
  }
}

/** The copy becomes the file, the file goes. The mark on the file says so to whoever finds it should this end halfway. */
async function changePlaces(d: Distribute, own: Call, file: FileToMove, source: Found): Promise<Moved> {
  const { iatt } = source;
  const loc = locOf(file.gfid);
  const [from, to] = [d.children[file.from]!, d.children[file.to]!];
  if (!(await mark(d, own, file, iatt))) return failed('it cannot be marked');
  const attr = {
    // An earlier attempt may have left its mark.
    mode: withoutMigratingBits(iatt, source.xattrs, d.names.linkto).mode,
    uid: iatt.uid,
    gid: iatt.gid,
    atime: { sec: iatt.atime, nsec: iatt.atimeNsec },
    mtime: { sec: iatt.mtime, nsec: iatt.mtimeNsec },
    ctime: { sec: iatt.ctime, nsec: iatt.ctimeNsec },
  };
  const takeBack = async (what: string, errno: Errno): Promise<Moved> => {
    await from.setattr(own, { loc, attr: { mode: attr.mode, ctime: attr.ctime } });
    await from.removexattr(own, { loc, name: d.names.linkto });
    return failed(`${what}: errno ${errno}`);
  };
  const shown = await to.setattr(own, { loc, attr });
  if (!shown.ok) return takeBack('its copy cannot be made the file', shown.errno);
  const cleared = await to.removexattr(own, { loc, name: d.names.linkto });
  // A file of just this mode is a linkto as long as it has the attribute.
  if (!cleared.ok && attr.mode === linktoMode) return takeBack('its copy stays a linkto', cleared.errno);
  if (!cleared.ok) d.warn(`${file.gfid}: a linkto's attribute stays on the moved file: errno ${cleared.errno}`);
  return finish(d, own, file, iatt.size);
}

async function mark(d: Distribute, own: Call, file: FileToMove, iatt: Iatt): Promise<boolean> {
  const loc = locOf(file.gfid);
  const from = d.children[file.from]!;
  const xattrs: Xattrs = { [d.names.linkto]: encodeLinkto(d.childName(file.to)) };
  const named = await from.setxattr(own, { loc, xattrs, flags: 0 });
  return named.ok && (await from.setattr(own, { loc, attr: { mode: iatt.mode | migratingBits } })).ok;
}

/** Removes the file at its old place; the copy is the file already. */
async function finish(d: Distribute, own: Call, file: FileToMove, bytes: number): Promise<Moved> {
  const loc = locAt(file.parent, file.name, file.gfid);
  const removed = await d.children[file.from]!.unlink(own, { loc });
  if (!removed.ok && removed.errno === Errno.ENOENT) {
    // Somebody removed the file in between, and meant all of it.
    await d.children[file.to]!.unlink(own, { loc });
    return skipped('it is gone');
  }
  d.remember(file.gfid, { kind: 'file', child: file.to });
  if (!removed.ok) return failed(`its old place cannot be cleared: errno ${removed.errno}`);
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
    return finish(d, own, file, 0);
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
