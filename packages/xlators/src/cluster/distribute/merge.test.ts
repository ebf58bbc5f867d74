import { emptyIatt, FileType, type Gfid, type Iatt } from '@mortar/core';
import { expect, it } from 'vitest';
import { mergeDirectoryIatts } from './merge.ts';

const gfid = '11111111-1111-4111-8111-111111111111' as Gfid;
const known = (changes: Partial<Iatt>): Iatt => ({
  ...emptyIatt(gfid, FileType.directory),
  mode: 0o755,
  ctime: 5,
  ...changes,
});

it('a directory has the mode of the first child, the latest times and the most links', () => {
  const merged = mergeDirectoryIatts([
    known({ nlink: 2, mtime: 7 }),
    known({ mode: 0o700, nlink: 4, mtime: 6, ctime: 9 }),
  ]);
  expect(merged).toMatchObject({ mode: 0o755, nlink: 4, mtime: 7, ctime: 9, size: 4096 });
});

it.each([0, 1])('nothing is known of it where one child could not tell (child %i)', (silent) => {
  const iatts = [known({}), known({})].map((iatt, i) => (i === silent ? emptyIatt(gfid) : iatt));
  expect(mergeDirectoryIatts(iatts)).toEqual(emptyIatt(gfid));
});
