/** The marks with which an object begins. */
import { FileType, type Xattrs } from '@mortar/core';
import { type Changelog, encodeVector, isZero, newbornCount, type Vector, vectorOf } from './changelog.ts';

/** What has to be known of the set. */
interface Host {
  readonly set: { readonly pendingKeys: readonly string[]; holdsData(child: number): boolean };
  readonly live: { readonly granular: boolean };
}

/** What a new object carries about children that will not have it: everything in it is missing there. */
export function newObjectBlame(replica: Host, type: FileType, absent: readonly number[]): Xattrs {
  // As GlusterFS: its name is to be healed, and what heal makes is newborn.
  if (absent.length === 0 || type === FileType.symlink) return {};
  const vector = encodeVector(everything(replica, type, 1));
  return Object.fromEntries(absent.map((child) => [replica.set.pendingKeys[child]!, vector]));
}

/**
 * What an object carries that heal makes on a child: that it is not filled yet, and what those who have it say of others (by child). The
 * one that was there before, on a disk that was replaced, may have been the only other one to say so.
 */
export function newbornMarks(
  replica: Host,
  type: FileType,
  child: number,
  owners: ReadonlyMap<number, Changelog>,
): Xattrs {
  const own = everything(replica, type, newbornCount);
  // Of a file that only an arbiter has there are no contents to wait for.
  const isFilled = type === FileType.regular && ![...owners.keys()].some((owner) => replica.set.holdsData(owner));
  const marks: Xattrs = {};
  for (const [other, key] of replica.set.pendingKeys.entries()) {
    const said = [...owners.values()].map(({ blames }) => blames[other]!);
    const vector = other !== child ? told(replica, type, said) : isFilled ? vectorOf({ metadata: own[1] }) : own;
    if (!isZero(vector)) marks[key] = encodeVector(vector);
  }
  return marks;
}

function everything({ live }: Host, type: FileType, count: number): Vector {
  if (type === FileType.regular) return vectorOf({ data: count, metadata: count });
  if (type === FileType.directory) return vectorOf({ data: live.granular ? count : 0, metadata: count, entry: count });
  return vectorOf({ metadata: count });
}

/** Of a directory nobody told which names these are: its data counter says that it may be any. */
function told({ live }: Host, type: FileType, said: readonly Vector[]): Vector {
  const once = (at: 0 | 1 | 2) => (said.some((vector) => vector[at] !== 0) ? newbornCount : 0);
  const isAny = type === FileType.directory && live.granular;
  return [Math.max(once(0), isAny ? once(2) : 0), once(1), once(2)];
}
