/** The first walk of a rebalance: every directory gets the layout that it would get now, and what is misplaced then is counted. */
import { type Call, type Dirent, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import type { UsePage } from './child-pages.ts';
import type { Distribute } from './distribute.ts';
import { Expected } from './expected.ts';
import { fixLayout } from './fix-layout.ts';
import type { GfidList } from './gfid-list.ts';
import { healAnyway } from './heal.ts';
import type { Left } from './left.ts';
import { isAbsent } from './lookup.ts';
import { clearRemains } from './remains.ts';
import { replacedUnder } from './replaced.ts';
import { renamedTo } from './unseen-name.ts';

/** What it needs of the rebalance. */
export interface LayingOut {
  readonly d: Distribute;
  readonly left: Left;
  isStopping(): boolean;
  /** What is to be waited for before a directory is laid out; undefined: nothing. */
  rest(): Promise<void> | undefined;
  /** What could not be laid out is tried so often again, after a pause: somebody was out of reach. */
  readonly roundsMax: number;
  pause(): Promise<void>;
  /** So many directories are laid out side by side. */
  atATime(): number;
  call(): Call;
  fail(reason: string): 'failed';
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
  /** What is in it has been seen: only its layout is left. */
  readonly isListed?: true;
}

interface Found {
  readonly gfid: Gfid;
  readonly parent: Gfid;
  readonly name: string;
  /** Children have different directories of this name. */
  readonly isMixed: boolean;
}

interface LaidOut {
  /** The directories in it; undefined: it is gone, or what is in it is not known (yet). */
  readonly below?: readonly Directory[];
  readonly failed?: { readonly what: string; readonly again: Directory };
}

/** Directories that wait to be walked; beyond that their parents would have to be read again. */
const pendingMax = 1_000_000;
/** Directories of one directory that are looked up at a time. */
const lookupsAtATime = 16;

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
  const again: Directory = { ...directory, isListed: true };
  const failed = { what: 'layout', again };
  if (directory.isListed) return (await isLaidOut()) ? {} : { failed };
  // A directory is listed by the child that its name hashes to: it must be there before that is a new child.
  const files = new Expected();
  const below = await directoriesIn(by, directory.gfid, files);
  if (!below) return { failed: { what: 'listing', again: directory } };
  const looked = await lookUpBelow(by, call, below);
  if (!looked) return { failed: { what: 'what is left of directories', again: directory } };
  const isDone = await isLaidOut();
  const state = by.d.stateOf(directory.gfid);
  if (state?.kind === 'directory') files.misplaced(state.layout, (count, bytes) => by.left.expect(bytes, count));
  return { below: looked, ...(!isDone && { failed }) };
}

/**
 * Makes them where they are missing. What is left of those that are gone goes: afterwards their names may hash to it. Undefined: not all
 * could be seen to.
 */
async function lookUpBelow(by: LayingOut, call: Call, below: readonly Found[]): Promise<Directory[] | undefined> {
  const seen: Directory[] = [];
  let isClear = true;
  const one = async ({ parent, name, gfid, isMixed }: Found) => {
    healAnyway(by.d, gfid);
    const look = () => by.d.ops.lookup(call, { loc: locAt(parent, name) });
    let found = await look();
    const isSound = found.ok ? found.iatt.gfid === gfid && !isMixed : !isAbsent(found);
    if (!isSound) {
      const cleared = await clearRemains(by.d, call, parent, name);
      isClear &&= cleared.ok;
      found = await look();
    }
    if (found.ok ? found.iatt.type === FileType.directory : !isAbsent(found))
      seen.push({ gfid: found.ok ? found.iatt.gfid : gfid, parent, name });
  };
  for (let at = 0; at < below.length; at += lookupsAtATime)
    await Promise.all(below.slice(at, at + lookupsAtATime).map(one));
  return isClear ? seen : undefined;
}

/** Directories in a directory that any child has; a listing of the volume shows what is where its name hashes to. */
async function directoriesIn(by: LayingOut, gfid: Gfid, files: Expected): Promise<Found[] | undefined> {
  const found = new Map<string, Found>();
  const { linkto, replaced, renaming } = by.d.names;
  const want = [linkto, replaced, renaming];
  const complete = await Promise.all(
    by.d.indices.map(async (index) => {
      let allRead = true;
      const toTheEnd = await by.eachPage(index, gfid, want, async (entries, unread) => {
        allRead &&= unread === 0;
        for (const entry of entries) {
          const { name, iatt, xattrs } = entry;
          const at = { parent: gfid, name };
          if (xattrs?.[renaming] && renamedTo(by.d, at, xattrs)) allRead &&= await by.takeBackUnseen(index, at);
          // Before anything moves: to where it hashes to, what was replaced would be shown.
          if (xattrs?.[replaced] && replacedUnder(by.d, at, xattrs)) await by.removeReplaced(index, at);
          if (iatt?.type === FileType.directory) {
            const before = found.get(name);
            const isMixed = before !== undefined && (before.isMixed || before.gfid !== iatt.gfid);
            found.set(name, { gfid: iatt.gfid, parent: gfid, name, isMixed });
          } else by.meets(index, entry);
          if (by.countsOf(index, entry)) files.add(index, by.d.hasher.hash(name), iatt!.size);
        }
      });
      return toTheEnd && allRead;
    }),
  );
  return complete.every(Boolean) ? [...found.values()] : undefined;
}
