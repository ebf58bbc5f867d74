/** The marks with which an object begins. */
import { FileType, type Xattrs } from '@mortar/core';
import { encodeVector, vectorOf } from './changelog.ts';
import type { Replica } from './replica.ts';

/** What a new object carries about children that will not have it: everything in it is missing there. */
export function newObjectBlame(
  replica: Pick<Replica, 'set' | 'live'>,
  type: FileType,
  absent: readonly number[],
): Xattrs {
  if (absent.length === 0 || type === FileType.symlink) return {};
  const vector =
    type === FileType.regular
      ? vectorOf({ data: 1, metadata: 1 })
      : type === FileType.directory
        ? vectorOf({ data: replica.live.granular ? 1 : 0, metadata: 1, entry: 1 })
        : vectorOf({ metadata: 1 });
  return Object.fromEntries(absent.map((child) => [replica.set.pendingKeys[child]!, encodeVector(vector)]));
}
