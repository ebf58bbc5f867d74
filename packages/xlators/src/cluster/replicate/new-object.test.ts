import { FileType } from '@mortar/core';
import { expect, it } from 'vitest';
import { type Changelog, changelogOf, newbornCount, type Vector } from './changelog.ts';
import { newbornMarks, newObjectBlame } from './new-object.ts';

const pendingKeys = ['trusted.afr.v-client-0', 'trusted.afr.v-client-1', 'trusted.afr.v-client-2'];
// The third is an arbiter.
const set = { pendingKeys, holdsData: (child: number) => child < 2 };
const host = { set, live: { granular: true } };
const none: Vector = [0, 0, 0];
const clean: Changelog = { blames: [none, none, none], dirty: none };
const saying = (...blames: Vector[]): Changelog => ({ blames, dirty: none });

it.each([
  { type: FileType.regular, missing: [1, 1, 0] },
  { type: FileType.directory, missing: [1, 1, 1] },
  { type: FileType.fifo, missing: [0, 1, 0] },
])('says of a new object of type $type what is missing where it is not', ({ type, missing }) => {
  const { blames } = changelogOf(newObjectBlame(host, type, [1]), pendingKeys);
  expect(blames).toEqual([none, missing, none]);
  const own = changelogOf(newbornMarks(host, type, 1, new Map([[0, clean]])), pendingKeys).blames;
  expect(own).toEqual([none, missing.map((count) => count * newbornCount), none]);
});

it('blames nobody for a symbolic link, which heal makes anew', () => {
  expect(newObjectBlame(host, FileType.symlink, [1])).toEqual({});
  const { 1: own } = changelogOf(newbornMarks(host, FileType.symlink, 1, new Map()), pendingKeys).blames;
  expect(own).toEqual([0, newbornCount, 0]);
});

it('begins with what those that have it say of others, and not with what they say of itself', () => {
  const owners = new Map([
    [0, saying([7, 0, 0], [0, 2, 0], none)],
    [2, saying(none, none, [3, 0, 5])],
  ]);
  const { blames } = changelogOf(newbornMarks(host, FileType.regular, 1, owners), pendingKeys);
  expect(blames).toEqual([
    [newbornCount, 0, 0],
    [newbornCount, newbornCount, 0],
    [newbornCount, 0, newbornCount],
  ]);
});

it('waits for no contents that only an arbiter could have', () => {
  const from = (owner: number, type: FileType) =>
    changelogOf(newbornMarks(host, type, 1, new Map([[owner, clean]])), pendingKeys).blames[1];
  expect(from(2, FileType.regular)).toEqual([0, newbornCount, 0]);
  expect(from(2, FileType.directory)).toEqual([newbornCount, newbornCount, newbornCount]);
});

it('begins a directory as one that knows of others that any name may be missing', () => {
  const blamesWith = (granular: boolean) =>
    changelogOf(
      newbornMarks(
        { ...host, live: { ...host.live, granular } },
        FileType.directory,
        1,
        new Map([[0, saying(none, none, [0, 0, 2])]]),
      ),
      pendingKeys,
    ).blames[2];
  expect(blamesWith(true)).toEqual([newbornCount, 0, newbornCount]);
  expect(blamesWith(false)).toEqual([0, 0, newbornCount]);
});
