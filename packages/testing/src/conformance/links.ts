/** Hard links, rename in all combinations, files that are open when their name goes. */
import { type Gfid, locAt, locOf } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Errno, ok, refuses, root, type Session } from './session.ts';

const NOREPLACE = 1;
const EXCHANGE = 2;

export function linkSuite(session: () => Session): void {
  describe('hard links', () => {
    it('give one file several names', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const f = await s.file(root, 'f', 'one');
      expect(ok(await s.link(f, d, 'g')).iatt).toMatchObject({ gfid: f, nlink: 2 });
      ok(await s.link(f, root, 'h'));
      expect(await s.iatt(d, 'g')).toMatchObject({ gfid: f, nlink: 3 });
      refuses(await s.link(f, d, 'g'), Errno.EEXIST);
      ok(await s.unlink(root, 'f'));
      expect(await s.contents(d, 'g')).toBe('one');
      expect((await s.stat(f)).nlink).toBe(2);
      ok(await s.unlink(d, 'g'));
      ok(await s.unlink(root, 'h'));
      expect((await s.lookup(root, 'h')).ok).toBe(false);
    });

    it('give an open file without a name one again, if that is asked for', async () => {
      const s = session();
      const f = await s.file(root, 'f', 'kept');
      const fd = await s.open(f);
      ok(await s.unlink(root, 'f'));
      expect((await s.link(f, root, 'g')).ok).toBe(false);
      expect(ok(await s.ops.lookup(s.call(), { loc: locOf(f) })).iatt).toMatchObject({ gfid: f, nlink: 0 });
      const again = () => s.ops.link(s.call(), { from: locOf(f), to: locAt(root, 'g', f), xdata: { nameless: true } });
      const reply = await again();
      expect(ok(reply).iatt).toMatchObject({ gfid: f, nlink: 1 });
      expect(await s.contents(root, 'g')).toBe('kept');
      refuses(await again(), Errno.EEXIST);
      fd.release();
      expect(await s.contents(root, 'g')).toBe('kept');
      ok(await s.unlink(root, 'g'));
      expect((await s.lookup(root, 'g')).ok).toBe(false);
    });

    it('are not for directories', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      refuses(await s.link(d, root, 'e'), Errno.EPERM);
    });

    it('are for symlinks and fifos, too', async () => {
      const s = session();
      const l = ok(await s.symlink(root, 'l', 'x')).iatt.gfid;
      const p = ok(await s.mknod(root, 'p', 0o010600)).iatt.gfid;
      expect(ok(await s.link(l, root, 'l2')).iatt.nlink).toBe(2);
      expect(ok(await s.link(p, root, 'p2')).iatt.nlink).toBe(2);
    });
  });

  describe('rename', () => {
    /** Makes what a case needs under a name: nothing, a file, an empty directory or a full one. */
    async function make(s: Session, kind: string, name: string): Promise<Gfid | null> {
      if (kind === 'nothing') return null;
      if (kind === 'file') return s.file(root, name, name);
      const d = await s.directory(root, name);
      if (kind === 'full') await s.file(d, 'inside');
      return d;
    }

    it.each([
      ['file', 'nothing', 0, null],
      ['file', 'file', 0, null],
      ['file', 'empty', 0, Errno.EISDIR],
      ['file', 'full', 0, Errno.EISDIR],
      ['full', 'nothing', 0, null],
      ['full', 'file', 0, Errno.ENOTDIR],
      ['full', 'empty', 0, null],
      ['full', 'full', 0, Errno.ENOTEMPTY],
      ['nothing', 'nothing', 0, Errno.ENOENT],
      ['nothing', 'file', 0, Errno.ENOENT],
      ['file', 'nothing', NOREPLACE, null],
      ['file', 'file', NOREPLACE, Errno.EEXIST],
      ['full', 'empty', NOREPLACE, Errno.EEXIST],
      ['file', 'file', EXCHANGE, null],
      ['file', 'full', EXCHANGE, null],
      ['full', 'full', EXCHANGE, null],
      ['file', 'nothing', EXCHANGE, Errno.ENOENT],
    ] as const)('of %s to %s with flags %i', async (source, target, flags, errno) => {
      const s = session();
      const a = await make(s, source, 'a');
      const b = await make(s, target, 'b');
      const reply = await s.rename([root, 'a'], [root, 'b'], flags);
      if (errno !== null) {
        refuses(reply, errno);
        if (a) expect((await s.iatt(root, 'a')).gfid).toBe(a);
        if (b) expect((await s.iatt(root, 'b')).gfid).toBe(b);
        return;
      }
      expect(ok(reply).iatt.gfid).toBe(a);
      expect((await s.iatt(root, 'b')).gfid).toBe(a);
      expect((await s.stat(a!)).gfid).toBe(a);
      if (flags === EXCHANGE) {
        expect((await s.iatt(root, 'a')).gfid).toBe(b);
        expect((await s.stat(b!)).gfid).toBe(b);
      } else refuses(await s.lookup(root, 'a'), Errno.ENOENT);
      if (source === 'full') expect(await s.names(a!)).toEqual(['inside']);
    });

    it('moves a tree to another directory; what is below is found by gfid and by name', async () => {
      const s = session();
      const from = await s.directory(root, 'from');
      const to = await s.directory(root, 'to');
      const d = await s.directory(from, 'd');
      const e = await s.directory(d, 'e');
      const f = await s.file(e, 'f', 'deep');
      ok(await s.rename([from, 'd'], [to, 'x']));
      expect((await s.iatt(to, 'x')).gfid).toBe(d);
      expect((await s.iatt(d, '..')).gfid).toBe(to);
      expect((await s.stat(f)).gfid).toBe(f);
      expect(await s.contents(e, 'f')).toBe('deep');
      expect(await s.names(from)).toEqual([]);
      await s.file(e, 'new');
      expect((await s.names(e)).sort()).toEqual(['f', 'new']);
    });

    it('refuses to move a directory into itself', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const e = await s.directory(d, 'e');
      refuses(await s.rename([root, 'd'], [e, 'x']), Errno.EINVAL);
      refuses(await s.rename([root, 'd'], [d, 'x']), Errno.EINVAL);
    });

    it('does nothing between two names of one file', async () => {
      const s = session();
      const f = await s.file(root, 'f', 'x');
      ok(await s.link(f, root, 'g'));
      ok(await s.rename([root, 'f'], [root, 'g']));
      expect((await s.names(root)).sort()).toEqual(['f', 'g']);
      expect((await s.stat(f)).nlink).toBe(2);
    });

    it('over one of several names of a file leaves the others', async () => {
      const s = session();
      const f = await s.file(root, 'f', 'f');
      ok(await s.link(f, root, 'g'));
      const h = await s.file(root, 'h', 'h');
      ok(await s.rename([root, 'h'], [root, 'g']));
      expect(await s.iatt(root, 'f')).toMatchObject({ gfid: f, nlink: 1 });
      expect(await s.iatt(root, 'g')).toMatchObject({ gfid: h, nlink: 1 });
    });
  });

  describe('an open file', () => {
    it('lives on when its name is unlinked', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      await s.write(fd, 0, 'before');
      ok(await s.unlink(root, 'f'));
      refuses(await s.lookup(root, 'f'), Errno.ENOENT);
      await s.write(fd, 6, ' after');
      expect(await s.read(fd, 0, 100)).toBe('before after');
      const { iatt } = ok(await s.ops.fstat(s.call(), { fd }));
      expect(iatt).toMatchObject({ size: 12, nlink: 0 });
      ok(await s.ops.fsetattr(s.call(), { fd, attr: { mode: 0o600 } }));
      ok(await s.ops.ftruncate(s.call(), { fd, size: 3 }));
      expect(await s.read(fd, 0, 100)).toBe('bef');
      await s.file(root, 'f', 'another');
      expect(await s.contents(root, 'f')).toBe('another');
      fd.release();
      expect((await s.ops.stat(s.call(), { loc: { gfid: fd.gfid, parent: null, name: null } })).ok).toBe(false);
    });

    it('lives on when another is renamed over it', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      await s.write(fd, 0, 'old');
      await s.file(root, 'g', 'new');
      ok(await s.rename([root, 'g'], [root, 'f']));
      expect(await s.read(fd, 0, 10)).toBe('old');
      expect(await s.contents(root, 'f')).toBe('new');
      fd.release();
    });

    it('is the same file under its new name', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      await s.write(fd, 0, 'x');
      ok(await s.rename([root, 'f'], [root, 'g']));
      await s.write(fd, 1, 'y');
      expect(await s.contents(root, 'g')).toBe('xy');
      fd.release();
    });
  });
}
