/** The first walk of a rebalance: every directory gets the layout that it would get now, and what is misplaced then is counted. */
import { type Dirent, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { UsePage } from './child-pages.ts';
import { type Clear, directoriesBelow } from './directories-below.ts';
import { Expected } from './expected.ts';
import { fixLayout } from './fix-layout.ts';
import type { GfidList } from './gfid-list.ts';
import { healAnyway } from './heal.ts';
import type { Left } from './left.ts';
import { isAbsent } from './lookup.ts';
import type { Walk } from './walk.ts';

/** What it needs of the rebalance. */
export interface LayingOut extends Walk {
  readonly left: Left;
  /** What could not be laid out is tried so often again, after a pause: somebody was out of reach. */
  readonly roundsMax: number;
  pause(): Promise<void>;
  /** So many directories are laid out side by side. */
  atATime(): number;
  failed(what: string): void;
  /** Whether what a child has is a file that counts. */
  countsOf(child: number, entry: Dirent): boolean;
  /** Told of everything that is no directory. */
  meets(child: number, entry: Dirent): void;
  /** Of a name that says that it replaced a file which may be there still. */
  removeReplaced(child: number, at: { parent: Gfid; name: string }): Promise<void>;
  /** Of a linkto that says that a rename has given its file a name which nobody sees. Whether that is settled. */
  takeBackUnseen(child: number, at: { parent: Gfid; name: string }): Promise<boolean>;
  eachPage(from: number, gfid: Gfid, want: readonly string[], use: UsePage): Promise<boolean>;
}

interface Directory {
  readonly gfid: Gfid;
  readonly parent: Gfid | null;
  readonly name: string | null;
  /** What is in it has been seen: only its layout is left, and what must be cleared before that. */
  readonly isListed?: true;
  readonly unclear?: readonly Clear[];
}

interface LaidOut {
  /** The directories in it; undefined: it is gone, or what is in it is not known (yet). */
  readonly below?: readonly Directory[];
  readonly failed?: { readonly what: string; readonly again: Directory };
}

/** Directories that wait to be walked; beyond that their parents would have to be read again. */
const pendingMax = 1_000_000;

/** A directory is laid out before anything below it is looked at, as new files in it go by the new layout. */
export async function layOut(by: LayingOut, directories: GfidList): Promise<'completed' | 'stopped' | 'failed'> {
  const pending: Directory[] = [{ gfid: rootGfid, parent: null, name: null }];
  const again: Directory[] = [];
  let round = 0;
  const running = new Set<Promise<void>>();
  let tooMany = false;
  let bug: unknown;
  const one = async (directory: Directory) => {
    const { below, failed } = await layOutOne(by, directory);
    if (failed && round < by.roundsMax) again.push(failed.again);
    else if (failed) by.failed(`${failed.what} of ${directory.gfid}`);
    if (!below) return;
    if (pending.length + below.length > pendingMax) tooMany = true;
    else for (const child of below) pending.push(child);
    directories.push(directory.gfid);
  };
  while (pending.length > 0 || running.size > 0 || again.length > 0) {
    const isOver = by.isStopping() || by.d.someDown || tooMany || bug !== undefined;
    if (pending.length === 0 || isOver || running.size >= by.atATime()) {
      if (running.size > 0) await Promise.race(running);
      else if (isOver) break;
      else {
        round++;
        await by.pause();
        pending.push(...again.splice(0));
      }
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

async function layOutOne(by: LayingOut, directory: Directory): Promise<LaidOut> {
  const rest = by.rest();
  if (rest) await rest;
  const call = by.call();
  const loc = directory.parent === null ? locOf(rootGfid) : locAt(directory.parent, directory.name!, directory.gfid);
  // Makes copies that are missing, and tells the name by which the layout begins.
  healAnyway(by.d, directory.gfid);
  const found = await by.d.ops.lookup(call, { loc });
  if (!found.ok) return isAbsent(found) ? {} : { failed: { what: 'lookup', again: directory } };
  const isLaidOut = () => fixLayout(by.d, call, directory.gfid);
  if (directory.isListed) {
    const unclear = await stillUnclear(directory.unclear ?? []);
    if (unclear.length > 0) return { failed: { what: clearing, again: { ...directory, unclear } } };
    return (await isLaidOut()) ? {} : { failed: { what: 'layout', again: directory } };
  }
  // A directory is listed by the child that its name hashes to: it must be there before that is a new child.
  const files = new Expected();
  const seen = await directoriesBelow(by, call, directory.gfid, files);
  if (!seen) return { failed: { what: 'listing', again: directory } };
  const { below, unclear } = seen;
  const again: Directory = { ...directory, isListed: true, unclear };
  if (unclear.length > 0) return { below, failed: { what: clearing, again } };
  const isDone = await isLaidOut();
  const state = by.d.stateOf(directory.gfid);
  if (state?.kind === 'directory') files.misplaced(state.layout, (count, bytes) => by.left.expect(bytes, count));
  return { below, ...(!isDone && { failed: { what: 'layout', again } }) };
}

const clearing = 'removal of what would be seen by another layout';

async function stillUnclear(all: readonly Clear[]): Promise<Clear[]> {
  const left: Clear[] = [];
  for (const clear of all) if (!(await clear())) left.push(clear);
  return left;
}
