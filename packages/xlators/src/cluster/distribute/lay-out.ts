/** The first walk of a rebalance: every directory gets the layout that it would get now, and what is misplaced then is counted. */
import { type Call, type Dirent, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { UsePage } from './child-pages.ts';
import type { Distribute } from './distribute.ts';
import { Expected } from './expected.ts';
import { fixLayout } from './fix-layout.ts';
import type { GfidList } from './gfid-list.ts';
import type { Left } from './left.ts';

/** What it needs of the rebalance. */
export interface LayingOut {
  readonly d: Distribute;
  readonly left: Left;
  isStopping(): boolean;
  /** So many directories are laid out side by side. */
  atATime(): number;
  call(): Call;
  fail(reason: string): 'failed';
  failed(what: string): void;
  /** Whether what a child has is a file that counts. */
  countsOf(child: number, entry: Dirent): boolean;
  eachPage(from: number, gfid: Gfid, want: readonly string[], use: UsePage): Promise<boolean>;
}

interface Directory {
  readonly gfid: Gfid;
  readonly parent: Gfid | null;
  readonly name: string | null;
}

/** Directories that wait to be walked; beyond that their parents would have to be read again. */
const pendingMax = 1_000_000;
/** Directories of one directory that are looked up at a time. */
const lookupsAtATime = 16;

/** A directory is laid out before anything below it is looked at, as new files in it go by the new layout. */
export async function layOut(by: LayingOut, directories: GfidList): Promise<'completed' | 'stopped' | 'failed'> {
  const pending: Directory[] = [{ gfid: rootGfid, parent: null, name: null }];
  const running = new Set<Promise<void>>();
  let tooMany = false;
  let bug: unknown;
  const one = async (directory: Directory) => {
    const below = await layOutOne(by, directory);
    if (!below) return;
    if (pending.length + below.length > pendingMax) tooMany = true;
    else for (const child of below) pending.push(child);
    directories.push(directory.gfid);
  };
  while (pending.length > 0 || running.size > 0) {
    const isOver = by.isStopping() || by.d.someDown || tooMany || bug !== undefined;
    if (pending.length === 0 || isOver || running.size >= by.atATime()) {
      if (running.size === 0) break;
      await Promise.race(running);
      continue;
    }
    const work: Promise<void> = one(pending.pop()!)
      .catch((error: unknown) => {
        bug ??= error;
      })
      .finally(() => running.delete(work));
    running.add(work);
  }
  if (bug !== undefined) throw bug;
  if (by.isStopping()) return 'stopped';
  if (by.d.someDown) return by.fail('a subvolume is down');
  return tooMany ? by.fail('too many directories side by side') : 'completed';
}

/** The directories in it; undefined: it is gone, or could not be listed. */
async function layOutOne(by: LayingOut, directory: Directory): Promise<Directory[] | undefined> {
  const call = by.call();
  const loc = directory.parent === null ? locOf(rootGfid) : locAt(directory.parent, directory.name!, directory.gfid);
  // Makes copies that are missing, and tells the name by which the layout begins.
  const found = await by.d.ops.lookup(call, { loc });
  if (!found.ok) return undefined;
  // A directory is listed by the child that its name hashes to: it must be there before that is a new child.
  const files = new Expected();
  const below = await directoriesIn(by, directory.gfid, files);
  if (!below) {
    by.failed(`listing of ${directory.gfid}`);
    return undefined;
  }
  for (let at = 0; at < below.length; at += lookupsAtATime)
    await Promise.all(
      below
        .slice(at, at + lookupsAtATime)
        .map(({ parent, name, gfid }) => by.d.ops.lookup(call, { loc: locAt(parent!, name!, gfid) })),
    );
  if (!(await fixLayout(by.d, call, directory.gfid))) by.failed(`layout of ${directory.gfid}`);
  const state = by.d.stateOf(directory.gfid);
  if (state?.kind === 'directory') files.misplaced(state.layout, (count, bytes) => by.left.expect(bytes, count));
  return below;
}

/** Directories in a directory that any child has; a listing of the volume shows what is where its name hashes to. */
async function directoriesIn(by: LayingOut, gfid: Gfid, files: Expected): Promise<Directory[] | undefined> {
  const found = new Map<string, Directory>();
  const want = [by.d.names.linkto];
  for (const index of by.d.indices) {
    let unread = 0;
    const complete = await by.eachPage(index, gfid, want, async (entries, more) => {
      unread += more;
      for (const entry of entries) {
        const { name, iatt } = entry;
        if (iatt?.type === FileType.directory) found.set(name, { gfid: iatt.gfid, parent: gfid, name });
        else if (by.countsOf(index, entry)) files.add(index, by.d.hasher.hash(name), iatt!.size);
      }
    });
    if (!complete || unread > 0) return undefined;
  }
  return [...found.values()];
}
