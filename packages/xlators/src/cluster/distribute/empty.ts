/**
 * Whether a directory is empty for those who use the volume. Its copies on the children may still have what nobody sees: linktos
 * whose file is gone, what a move in progress has prepared, copies of directories that were removed by who did not know this
 * child yet. That goes with the directory.
 */
import { type Call, type Dirent, Errno, type Failure, Fd, FileType, fail, type Gfid, locAt, locOf } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { linktoTarget } from './linkto.ts';
import { type Done, removeStaleLinkto } from './linkto-files.ts';
import { isAbsent, lookupAfresh } from './lookup.ts';

const pageBytes = 65536;
/** What stands in the way comes and goes with the moves of files. */
const attemptsMax = 8;
const pauseMs = 20;
/** Names that are taken out of a directory at a time. */
const atATime = 16;

interface Unseen {
  readonly child: number;
  readonly name: string;
  readonly entry: Dirent;
}

/** Runs what needs the directory to be empty, again while it is refused for something that nobody sees. */
export async function whenEmpty<R extends { ok: true }>(
  d: Distribute,
  call: Call,
  gfid: Gfid,
  run: () => Promise<R | Failure>,
): Promise<R | Failure> {
  for (let attempt = 1; ; attempt++) {
    const empty = await emptyOfFiles(d, call, gfid);
    if (!empty.ok) return empty;
    const reply = await run();
    if (reply.ok || reply.errno !== Errno.ENOTEMPTY) return reply;
    if (attempt === attemptsMax) {
      d.warn(
        `directory ${gfid} cannot be removed: a subvolume has something in it that is not seen; look on its bricks`,
      );
      return reply;
    }
    await d.services.clock.sleep(pauseMs * attempt);
  }
}

/** ENOTEMPTY if any child has a file or directory in it that is seen. */
async function emptyOfFiles(d: Distribute, call: Call, gfid: Gfid): Promise<Done> {
  const all = await d.ask(d.indices, (_child, i) => unseenIn(d, call, i, gfid));
  const failed = all.find((one): one is Failure => isFailure(one));
  if (failed) return failed;
  const unseen = all.flatMap((one) => (isFailure(one) ? [] : one));
  for (let at = 0; at < unseen.length; at += atATime) {
    const done = await Promise.all(unseen.slice(at, at + atATime).map((one) => takeOut(d, call, gfid, one)));
    const refused = done.find((one): one is Failure => !one.ok);
    if (refused) return refused;
  }
  return { ok: true };
}

/** What one child's copy has that may be seen by nobody; ENOTEMPTY when it has a file. */
function unseenIn(d: Distribute, call: Call, child: number, gfid: Gfid): Promise<Unseen[] | Failure> {
  return listOn(d, call, child, gfid, (entry) => {
    const { iatt, xattrs } = entry;
    const isPlain = iatt && xattrs && iatt.type !== FileType.directory && xattrs[d.names.linkto] === undefined;
    return isPlain ? fail(Errno.ENOTEMPTY) : { child, name: entry.name, entry };
  });
}

/** All entries of a child's copy; none if it has none. `use` of the first that fails is the answer. */
export async function listOn<T extends object>(
  d: Distribute,
  call: Call,
  child: number,
  gfid: Gfid,
  use: (entry: Dirent) => T | Failure,
): Promise<T[] | Failure> {
  const fd = new Fd(gfid);
  const own = d.ownCall(call);
  const found: T[] = [];
  try {
    const opened = await d.children[child]!.opendir(own, { loc: locOf(gfid), fd });
    if (!opened.ok) return isAbsent(opened) ? found : opened;
    for (let offset = 0; ; ) {
      const page = await d.children[child]!.readdirp(own, { fd, size: pageBytes, offset, want: [d.names.linkto] });
      if (!page.ok) return isAbsent(page) ? found : page;
      for (const entry of page.entries) {
        if (entry.name === '.' || entry.name === '..') continue;
        const used = use(entry);
        if (isFailure(used)) return used;
        found.push(used);
      }
      if (page.end || page.entries.length === 0) return found;
      offset = page.entries.at(-1)!.offset;
    }
  } finally {
    fd.release();
  }
}

export function isLinktoEntry(d: Distribute, entry: Dirent): boolean {
  return (
    entry.iatt !== null && entry.xattrs !== null && linktoTarget(entry.iatt, entry.xattrs, d.names.linkto) !== undefined
  );
}

/** Unless it is seen after all. A file that is not is on its way: who moves it takes it away. */
async function takeOut(d: Distribute, call: Call, gfid: Gfid, { child, name, entry }: Unseen): Promise<Done> {
  const loc = locAt(gfid, name);
  // Waits for who moves the file: its linkto is made under the lock of the name. Anything else stays.
  const tidy = () => removeStaleLinkto(d, call, child, loc);
  if (isLinktoEntry(d, entry)) return tidy();
  const found = await lookupAfresh(d, d.ownCall(call), { loc });
  if (found.ok) return fail(Errno.ENOTEMPTY);
  if (!isAbsent(found)) return found;
  return entry.type === FileType.directory ? removeUnseen(d, call, child, gfid, entry) : tidy();
}

/** A copy of a directory that was removed; files in it are nobody's to remove. */
export async function removeUnseen(
  d: Distribute,
  call: Call,
  child: number,
  parent: Gfid,
  entry: Pick<Dirent, 'name' | 'gfid'>,
): Promise<Done> {
  const own = d.ownCall(call);
  const loc = locAt(parent, entry.name, entry.gfid);
  const remove = async (): Promise<Done> => {
    const reply = await d.children[child]!.rmdir(own, { loc, recursive: false });
    return reply.ok || isAbsent(reply) ? { ok: true } : reply;
  };
  const removed = await remove();
  if (removed.ok || removed.errno !== Errno.ENOTEMPTY || entry.gfid === null) return removed;
  const { gfid } = entry;
  const entries = await listOn(d, call, child, gfid, (one) => one);
  if (isFailure(entries)) return entries;
  for (const one of entries) {
    let done: Done;
    if (one.type === FileType.directory) done = await removeUnseen(d, call, child, gfid, one);
    else if (isLinktoEntry(d, one)) {
      const reply = await d.children[child]!.unlink(own, { loc: locAt(gfid, one.name) });
      done = reply.ok || isAbsent(reply) ? { ok: true } : reply;
    } else {
      d.warn(
        `${parent}/${entry.name}: only ${d.childName(child)} has this directory, and a file in it; look on its bricks`,
      );
      return fail(Errno.ENOTEMPTY);
    }
    if (!done.ok) return done;
  }
  return remove();
}
