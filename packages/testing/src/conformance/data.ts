/** File data: offsets, holes, sizes, times. */
import { Fd, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Errno, ok, refuses, root, type Session } from './session.ts';

const TRUNC = 0o1000;

export function dataSuite(session: () => Session): void {
  describe('data', () => {
    it('reads what was written, and less at the end', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      const { pre, post } = await s.write(fd, 0, 'hello world');
      expect([pre.size, post.size]).toEqual([0, 11]);
      await s.write(fd, 6, 'WORLD');
      expect(await s.read(fd, 0, 100)).toBe('hello WORLD');
      expect(await s.read(fd, 4, 3)).toBe('o W');
      expect(await s.read(fd, 11, 10)).toBe('');
      expect(await s.read(fd, 5000, 10)).toBe('');
      fd.release();
    });

    it('keeps large writes whole', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      const data = Buffer.alloc(1_000_003, 'abcdefghijk');
      await s.write(fd, 13, data);
      const back = ok(await s.ops.readv(s.call(), { fd, offset: 13, size: data.length })).data;
      expect(Buffer.compare(back, data)).toBe(0);
      fd.release();
    });

    it('appends where the file ends', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      await s.write(fd, 0, 'one');
      const data = Buffer.from('two');
      ok(await s.ops.writev(s.call(), { fd, offset: 0, data, append: true }));
      ok(await s.ops.writev(s.call(), { fd, offset: 0, data, append: true, sync: true }));
      expect(await s.read(fd, 0, 100)).toBe('onetwotwo');
      fd.release();
    });

    it('reads holes as zeros, far out too, and tells where data is', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      const far = 3 * 2 ** 32 + 12288;
      await s.write(fd, far, 'end');
      expect(ok(await s.ops.fstat(s.call(), { fd })).iatt.size).toBe(far + 3);
      expect(await s.read(fd, 4096, 4)).toBe('\0\0\0\0');
      expect(await s.read(fd, far - 1, 10)).toBe('\0end');
      expect(ok(await s.ops.seek(s.call(), { fd, offset: 0, what: 'data' })).offset).toBe(far);
      expect(ok(await s.ops.seek(s.call(), { fd, offset: 0, what: 'hole' })).offset).toBe(0);
      refuses(await s.ops.seek(s.call(), { fd, offset: far + 3, what: 'data' }), Errno.ENXIO);
      fd.release();
    });

    it('truncates and grows', async () => {
      const s = session();
      const gfid = await s.file(root, 'f', 'hello');
      const { pre, post } = ok(await s.ops.truncate(s.call(), { loc: locOf(gfid), size: 2 }));
      expect([pre.size, post.size]).toEqual([5, 2]);
      ok(await s.ops.truncate(s.call(), { loc: locOf(gfid), size: 4 }));
      expect(await s.contents(root, 'f')).toBe('he\0\0');
      (await s.open(gfid, 2 | TRUNC)).release();
      expect((await s.stat(gfid)).size).toBe(0);
    });

    it('truncates no directory', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      refuses(await s.ops.truncate(s.call(), { loc: locOf(d), size: 0 }), Errno.EISDIR);
      refuses(await s.ops.open(s.call(), { loc: locOf(d), flags: 2, fd: new Fd(d, 2) }), Errno.EISDIR);
    });

    it('allocates, punches holes and zeroes', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      await s.write(fd, 0, Buffer.alloc(16384, 'x'));
      ok(await s.ops.fallocate(s.call(), { fd, mode: 0, offset: 0, size: 20000 }));
      expect(ok(await s.ops.fstat(s.call(), { fd })).iatt.size).toBe(20000);
      ok(await s.ops.fallocate(s.call(), { fd, mode: 1, offset: 0, size: 40000 }));
      expect(ok(await s.ops.fstat(s.call(), { fd })).iatt.size).toBe(20000);
      ok(await s.ops.discard(s.call(), { fd, offset: 4096, size: 4096 }));
      expect(await s.read(fd, 4095, 3)).toBe('x\0\0');
      ok(await s.ops.zerofill(s.call(), { fd, offset: 8192, size: 100 }));
      expect(await s.read(fd, 8290, 4)).toBe('\0\0xx');
      fd.release();
    });

    it('copies between files', async () => {
      const s = session();
      const from = await s.create(root, 'from');
      const to = await s.create(root, 'to');
      await s.write(from, 0, '0123456789');
      const args = { from, fromOffset: 2, to, toOffset: 1, size: 5 };
      expect(ok(await s.ops.copy_file_range(s.call(), args)).written).toBe(5);
      expect(await s.read(to, 0, 100)).toBe('\x0023456');
      from.release();
      to.release();
    });

    it('serves an fd that nobody has opened', async () => {
      const s = session();
      const gfid = await s.file(root, 'f', 'x');
      const fd = new Fd(gfid, 2);
      await s.write(fd, 1, 'y');
      expect(await s.read(fd, 0, 10)).toBe('xy');
      ok(await s.ops.fsync(s.call(), { fd, dataOnly: false }));
      fd.release();
    });

    it('syncs and flushes', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      await s.write(fd, 0, 'x');
      const replies = await Promise.all([
        s.ops.fsync(s.call(), { fd, dataOnly: true }),
        s.ops.fsync(s.call(), { fd, dataOnly: false }),
        s.ops.fsync(s.call(), { fd, dataOnly: true }),
        s.ops.flush(s.call(), { fd }),
      ]);
      for (const reply of replies) ok(reply);
      fd.release();
    });
  });

  describe('attributes', () => {
    it('change and are told before and after', async () => {
      const s = session();
      const f = await s.file(root, 'f');
      const { pre, post } = ok(await s.setattr(f, { mode: 0o4711, uid: 10, gid: 20 }));
      expect([pre.mode, post.mode, post.uid, post.gid]).toEqual([0o644, 0o4711, 10, 20]);
      expect(await s.iatt(root, 'f')).toMatchObject({ mode: 0o4711, uid: 10, gid: 20 });
      const l = ok(await s.symlink(root, 'l', 'f')).iatt.gfid;
      expect(ok(await s.setattr(l, { uid: 30 })).post).toMatchObject({ uid: 30, gid: 0 });
      expect((await s.stat(f)).uid).toBe(10);
    });

    it('take explicit times, before 1970 and after 2038', async () => {
      const s = session();
      for (const gfid of [await s.file(root, 'f'), await s.directory(root, 'd')]) {
        const before = await s.stat(gfid);
        ok(await s.setattr(gfid, { atime: { sec: -5, nsec: 1 }, mtime: { sec: 5_000_000_000, nsec: 999_999_999 } }));
        const after = await s.stat(gfid);
        expect([after.atime, after.atimeNsec, after.mtime, after.mtimeNsec]).toEqual([
          -5, 1, 5_000_000_000, 999_999_999,
        ]);
        expect(after.ctime).toBeGreaterThan(before.ctime);
      }
    });

    it('move mtime and ctime with a write, ctime alone with a chmod, both of the parent with an entry', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const made = await s.stat(d);
      const f = await s.file(d, 'f', 'x');
      const filled = await s.stat(d);
      expect(filled.mtime).toBeGreaterThan(made.mtime);
      expect(filled.ctime).toBeGreaterThan(made.ctime);
      const before = await s.stat(f);
      const fd = await s.open(f);
      await s.write(fd, 0, 'y');
      fd.release();
      const written = await s.stat(f);
      expect(written.mtime).toBeGreaterThan(before.mtime);
      ok(await s.setattr(f, { mode: 0o600 }));
      const changed = await s.stat(f);
      expect(changed.mtime).toBe(written.mtime);
      expect(changed.ctime).toBeGreaterThan(written.ctime);
      expect(changed.atime).toBe(before.atime);
    });

    it('give the free space', async () => {
      const s = session();
      const { statfs } = ok(await s.ops.statfs(s.call(), { loc: locOf(root) }));
      expect(statfs.blocks).toBeGreaterThan(0);
      expect(statfs.blocksAvailable).toBeLessThanOrEqual(statfs.blocks);
      expect(statfs.nameMax).toBe(255);
    });
  });
}
