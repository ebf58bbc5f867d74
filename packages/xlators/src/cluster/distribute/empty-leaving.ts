/**
 * The end of a rebalance that empties children which leave the volume. They must not keep anything: each is looked through as it is, from its
 * root, until nothing is found (docs/distribute.md, "A subvolume that leaves").
 */
import { type Dirent, FileType, type Gfid, locOf, rootGfid } from '@mortar/core';
import type { UsePage } from './child-pages.ts';
import { decodeRange, LayoutType, ownsNames } from './layout.ts';
import { lastRenamed } from './renamed.ts';
import type { Walk } from './walk.ts';

/** What it needs of the rebalance. */
export interface Emptying extends Walk {
  pause(): Promise<void>;
  /** Whether this process looks after any files of a child. */
  looksAfter(child: number): boolean;
  /** Whether what a child has is a file that this process looks after. */
  isFile(child: number, entry: Dirent): boolean;
  eachPage(from: number, gfid: Gfid, want: readonly string[], use: UsePage): Promise<boolean>;
  beginRound(): void;
  /** Lays the directory out anew first: names come to other children then. */
  moveFilesOf(directory: Gfid): Promise<void>;
  /** Resolves when what was begun has come to its end. */
  endRound(): Promise<void>;
}

/** How often a child is looked through for what it still has, while that becomes less; and if it does not. */
const looksMax = 100;
const idleLooksMax = 8;
/**
 * So often running it must be seen to be empty, with no rename there since before the first of these: what goes from a directory not read yet to
 * one that was passes a look by.
 */
const emptyLooksMin = 3;

/** What children that leave still have. */
interface Left {
  files: number;
  /** That have some, or give them names. */
  readonly directories: Set<Gfid>;
}

/** `left`: files, if it has failed. */
export async function emptyLeaving(by: Emptying): Promise<{ state: 'completed' | 'stopped' | 'failed'; left: number }> {
  let least = Number.POSITIVE_INFINITY;
  let renamed = await renamedSoFar(by);
  for (let look = 0, idle = 0, empty = 0; ; look++) {
    const { files, directories } = await leftBehind(by);
    if (by.isStopping()) return { state: 'stopped', left: 0 };
    const all = files + directories.size;
    const before = renamed;
    renamed = await renamedSoFar(by);
    const isStill = renamed === before;
    if (all === 0) {
      empty = isStill ? empty + 1 : 0;
      if (empty === emptyLooksMin) return { state: 'completed', left: 0 };
      if (look >= looksMax)
        return { state: by.fail('files are renamed all the time on what is to be removed'), left: 0 };
      continue;
    }
    empty = 0;
    idle = all < least ? 0 : idle + 1;
    least = Math.min(least, all);
    if (idle === idleLooksMax || look === looksMax) {
      const what = `${files} files are left on what is to be removed, or names in ${directories.size} directories`;
      return { state: by.fail(what), left: files };
    }
    if (look > 0) await by.pause();
    by.beginRound();
    for (const gfid of directories) {
      if (by.d.someDown) return { state: by.fail('a subvolume is down'), left: 0 };
      await by.moveFilesOf(gfid);
    }
    await by.endRound();
  }
}

/** Of all children that leave; another text when something was renamed there meanwhile, or a child cannot say. */
async function renamedSoFar(by: Emptying): Promise<string> {
  const leaving = by.d.indices.filter((from) => by.d.leaves(from) && by.looksAfter(from));
  const told = await Promise.all(leaving.map((from) => lastRenamed(by.d, from)));
  return told.includes(undefined) ? by.d.nextLockOwner() : told.join();
}

/** A directory that gives names was made by a client who did not know yet. What cannot be read counts. */
async function leftBehind(by: Emptying): Promise<Left> {
  const left: Left = { files: 0, directories: new Set() };
  for (const from of by.d.indices) if (by.d.leaves(from) && by.looksAfter(from)) await lookThrough(by, from, left);
  return left;
}

async function lookThrough(by: Emptying, from: number, left: Left): Promise<void> {
  const pending: Gfid[] = [rootGfid];
  for (let gfid = pending.pop(); gfid && !by.isStopping(); gfid = pending.pop()) {
    const directory = gfid;
    const found = (count: number) => {
      left.files += count;
      left.directories.add(directory);
    };
    if (await givesNames(by, directory, from)) found(0);
    const complete = await by.eachPage(from, directory, [by.d.names.linkto], async (entries, unread) => {
      const here = unread + entries.filter((entry) => by.isFile(from, entry)).length;
      if (here > 0) found(here);
      for (const { iatt } of entries) if (iatt?.type === FileType.directory) pending.push(iatt.gfid);
    });
    if (!complete && !by.isStopping()) found(1);
  }
}

/** Whether new names of the directory go to this child. Ranges that somebody gave by hand stay. */
async function givesNames(by: Emptying, gfid: Gfid, child: number): Promise<boolean> {
  const { layout } = by.d.names;
  const found = await by.d.children[child]!.lookup(by.call(), { loc: locOf(gfid), want: [layout] });
  const value = found.ok ? found.xattrs[layout] : undefined;
  const range = value && decodeRange(value);
  return range !== undefined && range.type !== LayoutType.user && ownsNames(range);
}
