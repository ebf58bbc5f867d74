import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Errno } from '@mortar/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as libc from './index.ts';

let root: string;
let dir: number;
const stat = new libc.Stat();

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'mortar-libc-'));
  dir = libc.open(root, libc.O_RDONLY | libc.O_DIRECTORY);
});

afterAll(() => {
  libc.close(dir);
  rmSync(root, { recursive: true, force: true });
});

function make(name: string, contents = ''): number {
  const fd = libc.openat(dir, name, libc.O_RDWR | libc.O_CREAT | libc.O_TRUNC, 0o644);
  expect(fd).toBeGreaterThan(2);
  if (contents) expect(libc.write(fd, Buffer.from(contents))).toBe(contents.length);
  return fd;
}

describe('paths', () => {
  it('answers -errno for what is not there', () => {
    expect(libc.openat(dir, 'absent', libc.O_RDONLY)).toBe(-Errno.ENOENT);
    expect(libc.statx(dir, 'absent', stat)).toBe(-Errno.ENOENT);
  });

  it('refuses a NUL, a character that is no byte and a path beyond PATH_MAX', () => {
    expect(libc.openat(dir, 'a\0b', libc.O_RDONLY)).toBe(-Errno.EINVAL);
    expect(libc.openat(dir, 'a\u0100', libc.O_RDONLY)).toBe(-Errno.EINVAL);
    expect(libc.openat(dir, 'x'.repeat(4096), libc.O_RDONLY)).toBe(-Errno.ENAMETOOLONG);
    expect(libc.openat(dir, 'x'.repeat(256), libc.O_RDONLY | libc.O_CREAT, 0o600)).toBe(-Errno.ENAMETOOLONG);
  });

  it('keeps any bytes of a name', () => {
    const name = fc
      .string({
        unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c)),
        minLength: 1,
        maxLength: 255,
      })
      .filter((s) => !s.includes('/') && s !== '.' && s !== '..');
    fc.assert(
      fc.property(name, (bytes) => {
        libc.mkdirat(dir, 'names', 0o755);
        const inside = libc.openat(dir, 'names', libc.O_RDONLY | libc.O_DIRECTORY);
        expect(libc.symlinkat(bytes, inside, bytes)).toBe(0);
        const found: string[] = [];
        libc.forEachDirent(inside, (entry) => found.push(entry));
        expect(found).toEqual([bytes]);
        expect(libc.readlinkat(inside, bytes)).toBe(bytes);
        expect(libc.unlinkat(inside, bytes)).toBe(0);
        libc.close(inside);
      }),
      { numRuns: 60 },
    );
  });
});

describe('data', () => {
  it('reads and writes parts of buffers at positions', () => {
    const fd = make('data', 'hello world');
    const bytes = new Uint8Array(10).fill(46);
    expect(libc.pread(fd, bytes, 2, 5, 6)).toBe(5);
    expect(Buffer.from(bytes).toString()).toBe('..world...');
    expect(libc.pwrite(fd, Buffer.from('xxHELLOxx'), 2, 5, 0)).toBe(5);
    expect(libc.preadv2(fd, bytes, 1, 5, 0, libc.RWF_NOWAIT)).toBe(5);
    expect(Buffer.from(bytes).toString()).toBe('.HELLOd...');
    expect(libc.pwritev2(fd, Buffer.from('?!'), 1, 1, -1 + 1, libc.RWF_APPEND | libc.RWF_DSYNC)).toBe(1);
    expect(readFileSync(join(root, 'data'), 'utf8')).toBe('HELLO world!');
    expect(libc.writev(fd, [Buffer.from('a'), new Uint8Array(0), Buffer.from('bc')])).toBe(3);
    libc.lseek(fd, 0, libc.SEEK_SET);
    const one = new Uint8Array(3);
    const two = new Uint8Array(3);
    expect(libc.readv(fd, [one, two])).toBe(6);
    expect(Buffer.from(two).toString()).toBe('LO ');
    expect(() => libc.pread(fd, bytes, 8, 5, 0)).toThrow(/outside a buffer/);
    expect(() => libc.pread(fd, bytes, 0, 5, 2 ** 53)).toThrow(/2\^53/);
    expect(libc.close(fd)).toBe(0);
    expect(libc.close(fd)).toBe(-Errno.EBADF);
  });

  it('makes holes, finds them and copies ranges', () => {
    const fd = make('sparse');
    const far = 5 * 2 ** 32 + 3;
    expect(libc.pwrite(fd, Buffer.from('end'), 0, 3, far)).toBe(3);
    expect(libc.fstat(fd, stat)).toBe(0);
    expect(stat.size).toBe(far + 3);
    expect(libc.lseek(fd, 0, libc.SEEK_HOLE)).toBe(0);
    expect(libc.lseek(fd, 0, libc.SEEK_DATA)).toBe(far - (far % 4096));
    expect(libc.lseek(fd, far + 3, libc.SEEK_DATA)).toBe(-Errno.ENXIO);
    expect(libc.copyFileRange(fd, far, fd, 0, 3)).toBe(3);
    expect(libc.fallocate(fd, libc.FALLOC_FL_PUNCH_HOLE | libc.FALLOC_FL_KEEP_SIZE, far - (far % 4096), 4096)).toBe(0);
    const bytes = new Uint8Array(3);
    libc.pread(fd, bytes, 0, 3, 0);
    expect(Buffer.from(bytes).toString()).toBe('end');
    libc.pread(fd, bytes, 0, 3, far);
    expect([...bytes]).toEqual([0, 0, 0]);
    expect(libc.ftruncate(fd, 2)).toBe(0);
    expect(libc.fsync(fd)).toBe(0);
    expect(libc.fdatasync(fd)).toBe(0);
    libc.close(fd);
  });
});

describe('names', () => {
  it('makes every type of file and tells them apart', () => {
    libc.umask(0);
    expect(libc.mkdirat(dir, 'd', 0o2751)).toBe(0);
    expect(libc.mknodat(dir, 'fifo', libc.S_IFIFO | 0o640)).toBe(0);
    expect(libc.mknodat(dir, 'chr', libc.S_IFCHR | 0o600, 300, 70000)).toBe(0);
    expect(libc.symlinkat('some/where', dir, 'l')).toBe(0);
    const seen = new Map<string, number>();
    libc.forEachDirent(dir, (name, _ino, type) => seen.set(name, type));
    for (const [name, type] of [
      ['d', libc.DT_DIR],
      ['fifo', libc.DT_FIFO],
      ['chr', libc.DT_CHR],
      ['l', libc.DT_LNK],
    ] as const) {
      expect(libc.statx(dir, name, stat)).toBe(0);
      expect([name, stat.type]).toEqual([name, type]);
      expect(seen.get(name)).toBe(type);
    }
    libc.statx(dir, 'chr', stat);
    expect([stat.rdevMajor, stat.rdevMinor]).toEqual([300, 70000]);
    libc.statx(dir, 'l', stat);
    expect(stat.size).toBe('some/where'.length);
    expect(libc.readlinkat(dir, 'd')).toBe(-Errno.EINVAL);
  });

  it('links, renames with flags, unlinks', () => {
    libc.close(make('a', 'a'));
    libc.close(make('b', 'b'));
    expect(libc.linkat(dir, 'a', dir, 'a2')).toBe(0);
    expect(libc.linkat(dir, 'a', dir, 'b')).toBe(-Errno.EEXIST);
    libc.statx(dir, 'a', stat);
    expect(stat.nlink).toBe(2);
    expect(libc.renameat2(dir, 'a', dir, 'b', libc.RENAME_NOREPLACE)).toBe(-Errno.EEXIST);
    expect(libc.renameat2(dir, 'a', dir, 'b', libc.RENAME_EXCHANGE)).toBe(0);
    expect(readFileSync(join(root, 'b'), 'utf8')).toBe('a');
    expect(libc.unlinkat(dir, 'b')).toBe(0);
    expect(libc.mkdirat(dir, 'full', 0o755)).toBe(0);
    libc.close(make('full/x'));
    expect(libc.unlinkat(dir, 'full', libc.AT_REMOVEDIR)).toBe(-Errno.ENOTEMPTY);
    expect(libc.unlinkat(dir, 'full')).toBe(-Errno.EISDIR);
  });

  it('gives a file without a name one', () => {
    const fd = libc.openat(dir, '.', libc.O_TMPFILE | libc.O_RDWR, 0o600);
    expect(libc.linkFd(fd, dir, 'named')).toBe(0);
    expect(libc.linkFd(fd, dir, 'named')).toBe(-Errno.EEXIST);
    libc.close(fd);
  });

  it('sets times (before 1970 too), modes and owners', () => {
    libc.close(make('t'));
    expect(libc.utimensat(dir, 't', { sec: -5, nsec: 7 }, undefined, libc.AT_SYMLINK_NOFOLLOW)).toBe(0);
    libc.statx(dir, 't', stat);
    const { mtime } = stat;
    expect([stat.atime, stat.atimeNsec]).toEqual([-5, 7]);
    expect(libc.utimensat(dir, 't', undefined, { sec: 2 ** 32 + 1, nsec: 999_999_999 }, 0)).toBe(0);
    libc.statx(dir, 't', stat);
    expect([stat.atime, stat.mtime, stat.mtimeNsec]).toEqual([-5, 2 ** 32 + 1, 999_999_999]);
    expect(stat.btime).toBeGreaterThanOrEqual(mtime - 1);
    expect(libc.fchmodat(dir, 't', 0o4711)).toBe(0);
    expect(libc.fchownat(dir, 't', 4_000_000_000, -1, libc.AT_SYMLINK_NOFOLLOW)).toBe(0);
    libc.statx(dir, 't', stat);
    expect([stat.uid, stat.gid, stat.permissions & 0o777]).toEqual([4_000_000_000, 0, 0o711]);
  });
});

describe('extended attributes', () => {
  it.each(['file', 'path', 'O_PATH'])('reads, lists, changes and removes them by %s', (how) => {
    const made = make(how);
    if (how !== 'file') libc.close(made);
    const fd = how === 'file' ? made : libc.openat(dir, how, libc.O_PATH);
    const target = how === 'file' ? fd : how === 'path' ? `/proc/self/fd/${dir}/path` : libc.fdPath(fd);
    expect(libc.getxattr(target, 'trusted.t')).toBe(-Errno.ENODATA);
    expect(libc.setxattr(target, 'trusted.t', Buffer.from([0, 1, 255]))).toBe(0);
    expect(libc.setxattr(target, 'user.empty', new Uint8Array(0), libc.XATTR_CREATE)).toBe(0);
    expect(libc.setxattr(target, 'trusted.t', Buffer.from('x'), libc.XATTR_CREATE)).toBe(-Errno.EEXIST);
    expect(libc.setxattr(target, 'trusted.u', Buffer.from('x'), libc.XATTR_REPLACE)).toBe(-Errno.ENODATA);
    expect(libc.getxattr(target, 'trusted.t')).toEqual(new Uint8Array([0, 1, 255]));
    expect(libc.getxattr(target, 'user.empty')).toEqual(new Uint8Array(0));
    expect(libc.getxattrInto(target, 'trusted.t', new Uint8Array(2))).toBe(-Errno.ERANGE);
    expect((libc.listxattr(target) as string[]).sort()).toEqual(['trusted.t', 'user.empty']);
    expect(libc.removexattr(target, 'trusted.t')).toBe(0);
    expect(libc.removexattr(target, 'trusted.t')).toBe(-Errno.ENODATA);
    libc.close(fd);
  });

  it('does not follow a symlink, neither by path nor by O_PATH', () => {
    libc.symlinkat('nowhere', dir, 'dangling');
    expect(libc.setxattr(`/proc/self/fd/${dir}/dangling`, 'trusted.t', Buffer.from('1'))).toBe(0);
    const fd = libc.openat(dir, 'dangling', libc.O_PATH | libc.O_NOFOLLOW);
    expect(libc.getxattr(libc.fdPath(fd), 'trusted.t')).toEqual(new Uint8Array([49]));
    libc.close(fd);
  });
});

describe('the rest', () => {
  it('lists a directory of several batches completely', () => {
    libc.mkdirat(dir, 'many', 0o755);
    const fd = libc.openat(dir, 'many', libc.O_RDONLY | libc.O_DIRECTORY);
    const names = Array.from({ length: 3000 }, (_, i) => `a-rather-long-name-of-an-entry-${i}`);
    for (const name of names) libc.mknodat(fd, name, libc.S_IFREG | 0o644);
    const found: string[] = [];
    expect(libc.forEachDirent(fd, (name) => found.push(name))).toBe(0);
    expect(found.sort()).toEqual(names.sort());
    libc.close(fd);
  });

  it('tells the size of the file system', () => {
    const vfs = new libc.StatVfs();
    expect(libc.fstatvfs(dir, vfs)).toBe(0);
    expect(vfs.blocks).toBeGreaterThan(vfs.blocksFree);
    expect(vfs.nameMax).toBe(255);
  });

  it('locks whole files and ranges against another open file', () => {
    const one = make('locked');
    const two = libc.openat(dir, 'locked', libc.O_RDWR);
    expect(libc.flock(one, libc.LOCK_EX | libc.LOCK_NB)).toBe(0);
    expect(libc.flock(two, libc.LOCK_SH | libc.LOCK_NB)).toBe(-Errno.EAGAIN);
    expect(libc.setOfdLock(one, { type: libc.F_WRLCK, start: 10, length: 5 })).toBe(0);
    expect(libc.setOfdLock(two, { type: libc.F_RDLCK, start: 14, length: 1 })).toBe(-Errno.EAGAIN);
    expect(libc.getOfdLock(two, { type: libc.F_RDLCK, start: 0, length: 0 })).toEqual({
      type: libc.F_WRLCK,
      start: 10,
      length: 5,
    });
    expect(libc.getOfdLock(two, { type: libc.F_RDLCK, start: 0, length: 10 })).toBeNull();
    libc.close(one);
    libc.close(two);
  });

  it('acts as another user in this thread', () => {
    libc.close(make('secret'));
    libc.fchmodat(dir, 'secret', 0o600);
    libc.fchmodat(dir, '.', 0o755);
    libc.setfsuid(1234);
    const denied = libc.openat(dir, 'secret', libc.O_RDONLY);
    expect(libc.setfsuid(0)).toBe(1234);
    expect(denied).toBe(-Errno.EACCES);
  });

  it('hands an open file over a socket', () => {
    writeFileSync(join(root, 'handed'), 'over');
    const pair = libc.socketpair(libc.AF_UNIX, libc.SOCK_STREAM) as [number, number];
    const fd = libc.openat(dir, 'handed', libc.O_RDONLY);
    expect(libc.sendFds(pair[0], Buffer.from('!'), [fd])).toBe(1);
    expect(libc.poll([{ fd: pair[1], events: libc.POLLIN, revents: 0 }], 1000)).toBe(1);
    const [SOL_SOCKET, SO_TYPE, SO_DOMAIN] = [1, 3, 39];
    expect(libc.socketOption(pair[0], SOL_SOCKET, SO_TYPE)).toBe(libc.SOCK_STREAM);
    expect(libc.socketOption(pair[0], SOL_SOCKET, SO_DOMAIN)).toBe(libc.AF_UNIX);
    expect(libc.socketOption(pair[0], SOL_SOCKET, 9999)).toBe(-92);
    const SO_SNDBUF = 7;
    const before = libc.socketOption(pair[0], SOL_SOCKET, SO_SNDBUF);
    expect(libc.wantSendBuffer(pair[0], before)).toBe(0);
    expect(libc.socketOption(pair[0], SOL_SOCKET, SO_SNDBUF)).toBe(2 * before);
    expect(libc.wantSendBuffer(-1, 1000)).toBe(-Errno.EBADF);
    const into = new Uint8Array(4);
    const received = libc.receiveFds(pair[1], into) as libc.Received;
    expect(received.length).toBe(1);
    expect(received.fds).toHaveLength(1);
    expect(received.fds[0]).not.toBe(fd);
    expect(libc.read(received.fds[0]!, into)).toBe(4);
    expect(Buffer.from(into).toString()).toBe('over');
    for (const open of [fd, ...pair, ...received.fds]) libc.close(open);
  });

  it('listens at a path of unix sockets, and keeps packets apart there', () => {
    const path = `${root}/socket`;
    const { SOCK_SEQPACKET: kind } = libc;
    expect(libc.connectUnix(path, kind)).toBe(-Errno.ENOENT);
    expect(libc.listenUnix(`/tmp/${'x'.repeat(108)}`, kind)).toBe(-Errno.ENAMETOOLONG);
    const listener = libc.listenUnix(path, kind);
    expect(listener).toBeGreaterThan(2);
    expect(libc.listenUnix(path, kind)).toBe(-Errno.EADDRINUSE);
    const client = libc.connectUnix(path, kind);
    const server = libc.accept(listener);
    for (const text of ['one', 'three']) expect(libc.write(client, Buffer.from(text))).toBe(text.length);
    const into = new Uint8Array(16);
    expect([libc.read(server, into), libc.read(server, into)]).toEqual([3, 5]);
    libc.close(client);
    expect(libc.read(server, into)).toBe(0);
    for (const fd of [listener, server]) libc.close(fd);
    expect(libc.connectUnix(path, kind)).toBe(-Errno.ECONNREFUSED);
  });

  it('serves I/O of the machine, or may not', () => {
    expect([0, -Errno.EPERM, -Errno.EINVAL]).toContain(libc.setIoFlusher());
  });

  it('mounts and unmounts', () => {
    libc.mkdirat(dir, 'mnt', 0o755);
    expect(libc.mount('none', `${root}/mnt`, 'tmpfs', libc.MS_NOSUID | libc.MS_NODEV, 'size=64k')).toBe(0);
    libc.statx(dir, 'mnt', stat);
    const inside = stat.mountId;
    libc.statx(dir, '.', stat);
    expect(inside).not.toBe(stat.mountId);
    expect(libc.umount2(`${root}/mnt`, libc.MNT_DETACH)).toBe(0);
    expect(libc.umount2(`${root}/mnt`)).toBe(-Errno.EINVAL);
  });
});

describe('waits of this thread', () => {
  it('grow when it sleeps, not when it calculates', () => {
    const before = libc.threadWaits();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    expect(libc.threadWaits()).toBeGreaterThan(before);
  });
});
