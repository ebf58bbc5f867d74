/** A file that is to be made is there already: another client was faster. */
import {
  Errno,
  emptyIatt,
  FileType,
  fail,
  type Gfid,
  type Reply,
  rootCall,
  rootGfid,
  type Subvolume,
} from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { SystemClock } from '../ports/clock.ts';
import { createFile } from './create.ts';

const ours = '11111111-2222-3333-4444-555555555555' as Gfid;
const theirs = '11111111-2222-3333-4444-666666666666' as Gfid;
const [openWrite, openTruncate] = [0o1, 0o1000];
const file = { ...emptyIatt(theirs, FileType.regular), size: 100, mtime: 1, ctime: 1 };

function made(flags: number, emptied: Reply<'ftruncate'>) {
  const released: Gfid[] = [];
  const top = {
    create: async () => ({ ok: true, iatt: file }),
    open: async (_call: unknown, { fd }: { fd: { gfid: Gfid; onRelease(free: () => void): void } }) => {
      fd.onRelease(() => released.push(fd.gfid));
      return { ok: true };
    },
    ftruncate: async () => emptied,
  } as unknown as Subvolume;
  const how = { flags, mode: 0o644, gfid: ours };
  return { released, created: createFile(top, rootCall(new SystemClock()), rootGfid, 'f', how) };
}

describe('a file that another client has made first', () => {
  it('is opened as it is', async () => {
    const { created } = made(openWrite, fail(Errno.EIO));
    expect(await created).toMatchObject({ ok: true, iatt: { gfid: theirs, size: 100 }, fd: { gfid: theirs } });
  });

  it('is empty for who wants it emptied, and what it was is not told', async () => {
    const post = { ...file, size: 0, mtime: 2 };
    const { created } = made(openWrite | openTruncate, { ok: true, pre: file, post });
    expect(await created).toMatchObject({ ok: true, iatt: post, fd: { gfid: theirs } });
  });

  it('is not opened for him where it cannot be emptied', async () => {
    const { created, released } = made(openWrite | openTruncate, fail(Errno.EROFS));
    expect(await created).toEqual(fail(Errno.EROFS));
    expect(released).toEqual([theirs]);
  });
});
