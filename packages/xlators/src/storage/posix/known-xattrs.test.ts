import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Gfid, gfidBytes } from '@mortar/core';
import * as libc from '@mortar/libc';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sys } from './brick.ts';
import { KnownXattrs } from './known-xattrs.ts';

const ext4 = 0xef53;
const tmpfs = 0x01021994;
const gfid = 'aaaaaaaa-0000-4000-8000-000000000001' as Gfid;
const mark = 'trusted.afr.v-client-1';

let directory: string;
let file: string;
let rootFd: number;
let magic: number;
let reads: string[];

/** The real calls, noted; on a file system of any kind. */
function counting(): Sys {
  const noted =
    <A extends unknown[], R>(name: string, call: (...args: A) => R) =>
    (...args: A): R => {
      reads.push(name);
      return call(...args);
    };
  return {
    ...libc,
    fileSystemType: () => magic,
    getxattr: noted('value', libc.getxattr),
    getxattrInto: noted('gfid', libc.getxattrInto),
    listxattr: noted('names', libc.listxattr),
  };
}

function stat(path = file): libc.Stat {
  const found = new libc.Stat();
  expect(libc.statx(rootFd, path, found)).toBe(0);
  return found;
}

/** What is known of the file, and whether it is what the disk has. */
function look(known: KnownXattrs): { gfid: unknown; names: unknown; value: unknown } {
  const now = stat();
  return {
    gfid: known.gfid(now, file),
    names: known.names(now, file),
    value: known.value(now, file, mark),
  };
}

/** Until the file has been at rest for long enough to be known. */
const rest = () => new Promise((resolve) => setTimeout(resolve, 60));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mortar-known-'));
  file = join(directory, 'f');
  writeFileSync(file, '');
  libc.setxattr(file, 'trusted.gfid', gfidBytes(gfid));
  libc.setxattr(file, mark, Buffer.alloc(12));
  rootFd = libc.openat(-100, directory, 0);
  magic = ext4;
  reads = [];
});

afterEach(() => {
  libc.close(rootFd);
  rmSync(directory, { recursive: true });
});

describe('xattrs of an inode at rest', () => {
  it('are read once', async () => {
    await rest();
    const known = new KnownXattrs(counting(), rootFd);
    const first = look(known);
    expect(first.gfid).toBe(gfid);
    expect(reads).toEqual(['gfid', 'names', 'value']);
    expect(look(known)).toEqual(first);
    expect(reads).toHaveLength(3);
  });

  it.each([
    ['a changed value', () => libc.setxattr(file, mark, Buffer.from('000000010000', 'latin1'))],
    ['a new name', () => libc.setxattr(file, 'user.x', Buffer.from('1'))],
    ['a name that went', () => libc.removexattr(file, mark)],
    ['a gfid given to it', () => libc.setxattr(file, 'trusted.gfid', gfidBytes(gfid.replace('1', '2') as Gfid))],
    [
      'another file of the name',
      () => {
        writeFileSync(`${file}.new`, '');
        renameSync(`${file}.new`, file);
        return 0;
      },
    ],
  ])('are read anew after %s', async (_what, change) => {
    await rest();
    const known = new KnownXattrs(counting(), rootFd);
    const before = look(known);
    expect(change()).toBe(0);
    const now = look(known);
    expect(now).not.toEqual(before);
    await rest();
    // Known again, as they are.
    expect(look(known)).toEqual(now);
    expect(look(new KnownXattrs(counting(), rootFd))).toEqual(now);
  });
});

describe('xattrs are read each time', () => {
  it.each([
    ['of an inode that was changed just now', () => {}],
    [
      'on a file system that may not move ctime with them',
      () => {
        magic = tmpfs;
        return rest();
      },
    ],
  ])('%s', async (_what, prepare) => {
    libc.setxattr(file, mark, Buffer.alloc(12));
    await prepare();
    const { ctime, ctimeNsec } = stat();
    const known = new KnownXattrs(counting(), rootFd, () =>
      magic === tmpfs ? Date.now() : ctime * 1000 + ctimeNsec / 1e6 + 10,
    );
    look(known);
    look(known);
    expect(reads).toHaveLength(6);
  });
});
