/** Names: making, finding, removing; which errno each misuse gets. */
import { FileType, locAt, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Errno, ok, refuses, root, type Session } from './session.ts';

export function nameSuite(session: () => Session): void {
  describe('names', () => {
    it('makes and finds a directory, by name and by gfid', async () => {
      const s = session();
      const made = ok(await s.mkdir(root, 'd', 0o751, { uid: 7, gid: 8 })).iatt;
      expect(made).toMatchObject({ type: FileType.directory, mode: 0o751, uid: 7, gid: 8, nlink: 2 });
      expect(await s.iatt(root, 'd')).toMatchObject({ gfid: made.gfid, mode: 0o751, uid: 7, gid: 8 });
      expect((await s.stat(made.gfid)).gfid).toBe(made.gfid);
      refuses(await s.mkdir(root, 'd'), Errno.EEXIST);
    });

    it('creates a file of the caller with the mode asked for, set-id bits included', async () => {
      const s = session();
      (await s.create(root, 'f', 0o6754, { uid: 5, gid: 6 })).release();
      expect(await s.iatt(root, 'f')).toMatchObject({
        type: FileType.regular,
        mode: 0o6754,
        uid: 5,
        gid: 6,
        nlink: 1,
        size: 0,
      });
    });

    it('makes fifos, sockets, devices and symlinks', async () => {
      const s = session();
      ok(await s.mknod(root, 'fifo', 0o010640));
      ok(await s.mknod(root, 'sock', 0o140600));
      ok(await s.mknod(root, 'plain', 0o100640));
      ok(await s.mknod(root, 'chr', 0o020600, { rdevMajor: 300, rdevMinor: 70000 }));
      const link = ok(await s.symlink(root, 'l', '../\xffanywhere')).iatt;
      expect(await s.iatt(root, 'fifo')).toMatchObject({ type: FileType.fifo, mode: 0o640 });
      expect(await s.iatt(root, 'sock')).toMatchObject({ type: FileType.socket });
      expect(await s.iatt(root, 'plain')).toMatchObject({ type: FileType.regular, nlink: 1 });
      expect(await s.iatt(root, 'chr')).toMatchObject({ type: FileType.char, rdevMajor: 300, rdevMinor: 70000 });
      expect(await s.iatt(root, 'l')).toMatchObject({ type: FileType.symlink, nlink: 1 });
      const read = ok(await s.ops.readlink(s.call(), { loc: locOf(link.gfid) }));
      expect(read.target).toBe('../\xffanywhere');
      const plain = await s.iatt(root, 'plain');
      refuses(await s.ops.readlink(s.call(), { loc: locOf(plain.gfid) }), Errno.EINVAL);
    });

    it('keeps names of 255 bytes and of any bytes', async () => {
      const s = session();
      const names = ['x'.repeat(255), '\xff\xfe\x80', ' ', '\n', 'ä'.repeat(100).slice(0, 100), '-', '...', '\\'];
      for (const name of names) await s.file(root, name, name);
      for (const name of names) expect(await s.contents(root, name)).toBe(name);
      expect((await s.names(root)).sort()).toEqual([...names].sort());
    });

    it('refuses names that are too long or none', async () => {
      const s = session();
      refuses(await s.mkdir(root, 'x'.repeat(256)), Errno.ENAMETOOLONG);
      refuses(await s.lookup(root, 'x'.repeat(256)), Errno.ENAMETOOLONG);
      for (const name of ['', '.', '..', 'a/b', 'a\0b']) {
        const reply = await s.mkdir(root, name);
        expect(reply.ok).toBe(false);
      }
    });

    it('answers ENOENT for a missing name and ENOTDIR below a file', async () => {
      const s = session();
      const file = await s.file(root, 'f');
      refuses(await s.lookup(root, 'absent'), Errno.ENOENT);
      refuses(await s.unlink(root, 'absent'), Errno.ENOENT);
      refuses(await s.rmdir(root, 'absent'), Errno.ENOENT);
      refuses(await s.lookup(file, 'x'), Errno.ENOTDIR);
      refuses(await s.mkdir(file, 'x'), Errno.ENOTDIR);
    });

    it('knows . and ..', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const e = await s.directory(d, 'e');
      expect((await s.iatt(e, '.')).gfid).toBe(e);
      expect((await s.iatt(e, '..')).gfid).toBe(d);
      expect((await s.iatt(d, '..')).gfid).toBe(root);
      expect((await s.iatt(root, '..')).gfid).toBe(root);
    });

    it('removes files by unlink and directories by rmdir, not the other way round', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      await s.file(d, 'f');
      refuses(await s.unlink(root, 'd'), Errno.EISDIR);
      refuses(await s.rmdir(d, 'f'), Errno.ENOTDIR);
      refuses(await s.rmdir(root, 'd'), Errno.ENOTEMPTY);
      ok(await s.unlink(d, 'f'));
      ok(await s.rmdir(root, 'd'));
      refuses(await s.lookup(root, 'd'), Errno.ENOENT);
      const gone = await s.ops.stat(s.call(), { loc: locOf(d) });
      expect(gone.ok).toBe(false);
    });

    it('removes a whole tree when asked to', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const e = await s.directory(d, 'e');
      await s.file(e, 'f', 'x');
      ok(await s.rmdir(root, 'd', true));
      refuses(await s.lookup(root, 'd'), Errno.ENOENT);
      expect(await s.names(root)).toEqual([]);
      await s.directory(root, 'd');
    });

    it('counts the links of directories', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      await s.directory(d, 'one');
      await s.directory(d, 'two');
      await s.file(d, 'file');
      expect((await s.stat(d)).nlink).toBe(4);
      ok(await s.rmdir(d, 'one'));
      expect((await s.stat(d)).nlink).toBe(3);
    });

    it('gives a new object the group of a set-group-id directory', async () => {
      const s = session();
      const d = ok(await s.mkdir(root, 'd', 0o2775, { uid: 1, gid: 42 })).iatt.gfid;
      (await s.create(d, 'f', 0o644, { uid: 2, gid: 3 })).release();
      expect(await s.iatt(d, 'f')).toMatchObject({ uid: 2, gid: 42 });
      const below = ok(await s.mkdir(d, 'e', 0o755, { uid: 2, gid: 3 })).iatt;
      expect(below).toMatchObject({ gid: 42, mode: 0o2755 });
    });

    it('opens what is there when create is not exclusive', async () => {
      const s = session();
      const gfid = await s.file(root, 'f', 'old');
      const fd = await s.open(gfid);
      const reply = await s.ops.create(s.call(), {
        loc: locAt(root, 'f'),
        flags: 2 | 0o100 | 0o200,
        mode: 0o600,
        gfid: s.gfid(),
        fd,
      });
      refuses(reply, Errno.EEXIST);
      fd.release();
      expect(await s.contents(root, 'f')).toBe('old');
    });
  });
}
