/** Extended attributes: flags, values, what is hidden. */
import { describe, expect, it } from 'vitest';
import { Errno, ok, refuses, root, type Session } from './session.ts';

const CREATE = 1;
const REPLACE = 2;
const text = (value: string) => new Uint8Array(Buffer.from(value));

export function xattrSuite(session: () => Session): void {
  describe('extended attributes', () => {
    it.each(['file', 'directory'])('are set, read, listed and removed on a %s', async (kind) => {
      const s = session();
      const gfid = kind === 'file' ? await s.file(root, 'x') : await s.directory(root, 'x');
      ok(await s.setxattr(gfid, { 'user.a': text('1'), 'user.b': text('') }));
      expect(ok(await s.getxattr(gfid, 'user.a')).xattrs['user.a']).toEqual(text('1'));
      expect(
        Object.keys(ok(await s.getxattr(gfid)).xattrs)
          .filter((name) => name.startsWith('user.'))
          .sort(),
      ).toEqual(['user.a', 'user.b']);
      ok(await s.removexattr(gfid, 'user.a'));
      refuses(await s.getxattr(gfid, 'user.a'), Errno.ENODATA);
      refuses(await s.removexattr(gfid, 'user.a'), Errno.ENODATA);
    });

    it('obey XATTR_CREATE and XATTR_REPLACE', async () => {
      const s = session();
      const f = await s.file(root, 'f');
      refuses(await s.setxattr(f, { 'user.a': text('1') }, REPLACE), Errno.ENODATA);
      ok(await s.setxattr(f, { 'user.a': text('1') }, CREATE));
      refuses(await s.setxattr(f, { 'user.a': text('2') }, CREATE), Errno.EEXIST);
      ok(await s.setxattr(f, { 'user.a': text('3') }, REPLACE));
      expect(ok(await s.getxattr(f, 'user.a')).xattrs['user.a']).toEqual(text('3'));
    });

    it('work on an open file that has lost its name', async () => {
      const s = session();
      const fd = await s.create(root, 'f');
      ok(await s.unlink(root, 'f'));
      ok(await s.ops.fsetxattr(s.call(), { fd, xattrs: { 'user.a': text('1') }, flags: 0 }));
      expect(ok(await s.ops.fgetxattr(s.call(), { fd, name: 'user.a' })).xattrs['user.a']).toEqual(text('1'));
      ok(await s.ops.fremovexattr(s.call(), { fd, name: 'user.a' }));
      refuses(await s.ops.fgetxattr(s.call(), { fd, name: 'user.a' }), Errno.ENODATA);
      fd.release();
    });

    it('of the file system itself are not shown', async () => {
      const s = session();
      const f = await s.file(root, 'f');
      const names = Object.keys(ok(await s.getxattr(f)).xattrs);
      expect(names.filter((name) => name.startsWith('trusted.'))).toEqual([]);
    });

    it('tell the gfid', async () => {
      const s = session();
      const f = await s.file(root, 'f');
      const value = ok(await s.getxattr(f, 'glusterfs.gfid.string')).xattrs['glusterfs.gfid.string']!;
      expect(Buffer.from(value).toString('latin1')).toBe(f);
    });
  });
}
