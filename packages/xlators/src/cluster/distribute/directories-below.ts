/**
 * The directories in one that is to be laid out anew. They are looked up, which makes them where they are missing, and what nobody sees by the
 * present layout, and might by another one, is cleared: copies of directories that are gone, names that a rename has not shown, files that one has replaced.
 */
import { type Call, FileType, type Gfid, locAt } from '@mortar/core';
import type { Expected } from './expected.ts';
import { healAnyway } from './heal.ts';
import type { LayingOut } from './lay-out.ts';
import { isAbsent } from './lookup.ts';
import { clearRemains } from './remains.ts';
import { replacedUnder } from './replaced.ts';
import { renamedTo } from './unseen-name.ts';

/** Directories of one directory that are looked up at a time. */
const lookupsAtATime = 16;

/** Tries to clear something; whether it is settled. */
export type Clear = () => Promise<boolean>;

interface Directory {
  readonly gfid: Gfid;
  readonly parent: Gfid;
  readonly name: string;
}

export interface Below {
  readonly below: readonly Directory[];
  /** What could not be cleared: until that is done the layout must stay as it is. */
  readonly unclear: readonly Clear[];
}

interface Listed extends Directory {
  /** Children have different directories of this name. */
  readonly isMixed: boolean;
}

/** Undefined: not all could be read. `files`: those that are in it are counted there. */
export async function directoriesBelow(
  by: LayingOut,
  call: Call,
  gfid: Gfid,
  files: Expected,
): Promise<Below | undefined> {
  const unclear: Clear[] = [];
  const listed = await directoriesIn(by, gfid, files, unclear);
  if (!listed) return undefined;
  const below: Directory[] = [];
  const one = async (directory: Listed) => {
    const found = await lookedUp(by, call, directory, unclear);
    if (found) below.push(found);
  };
  for (let at = 0; at < listed.length; at += lookupsAtATime)
    await Promise.all(listed.slice(at, at + lookupsAtATime).map(one));
  return { below, unclear };
}

/** Undefined: it is gone. */
async function lookedUp(
  by: LayingOut,
  call: Call,
  { parent, name, gfid, isMixed }: Listed,
  unclear: Clear[],
): Promise<Directory | undefined> {
  healAnyway(by.d, gfid);
  const look = () => by.d.ops.lookup(call, { loc: locAt(parent, name) });
  let found = await look();
  const isSound = found.ok ? found.iatt.gfid === gfid && !isMixed : !isAbsent(found);
  if (!isSound) {
    const clear = async () => (await clearRemains(by.d, call, parent, name)).ok;
    if (!(await clear())) unclear.push(clear);
    found = await look();
  }
  if (found.ok) return found.iatt.type === FileType.directory ? { gfid: found.iatt.gfid, parent, name } : undefined;
  return isAbsent(found) ? undefined : { gfid, parent, name };
}

/** Directories in a directory that any child has; a listing of the volume shows what is where its name hashes to. */
async function directoriesIn(
  by: LayingOut,
  gfid: Gfid,
  files: Expected,
  unclear: Clear[],
): Promise<Listed[] | undefined> {
  const found = new Map<string, Listed>();
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
          if (xattrs?.[renaming] && renamedTo(by.d, at, xattrs)) {
            const clear = () => by.takeBackUnseen(index, at);
            if (!(await clear())) unclear.push(clear);
          }
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
