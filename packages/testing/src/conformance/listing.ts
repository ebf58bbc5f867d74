/** Directory listings: complete, resumable, stable while names come and go. */
import { describe, expect, it } from 'vitest';
import { Errno, ok, refuses, root, type Session } from './session.ts';

export function listingSuite(session: () => Session): void {
  describe('a listing', () => {
    it('of an empty directory has . and .. only', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const fd = await s.opendir(d);
      const page = ok(await s.ops.readdir(s.call(), { fd, size: 4096, offset: 0 }));
      expect(page.entries.map((entry) => entry.name).sort()).toEqual(['.', '..']);
      fd.release();
    });

    it('is refused for a file', async () => {
      const s = session();
      const f = await s.file(root, 'f');
      const { Fd, locOf } = await import('@mortar/core');
      refuses(await s.ops.opendir(s.call(), { loc: locOf(f), fd: new Fd(f) }), Errno.ENOTDIR);
    });

    it('gives every name once, however small the replies, with ascending offsets', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const names = Array.from({ length: 40 }, (_, i) => `name-${i}`);
      for (const name of names) ok(await s.mknod(d, name, 0o100644));
      for (const size of [1, 100, 4096]) expect((await s.names(d, size)).sort()).toEqual([...names].sort());
      const fd = await s.opendir(d);
      const page = ok(await s.ops.readdir(s.call(), { fd, size: 65536, offset: 0 }));
      const offsets = page.entries.map((entry) => entry.offset);
      expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
      expect(new Set(offsets).size).toBe(offsets.length);
      fd.release();
    });

    it('keeps every name that stays, while others come and go between the replies', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      const stay = Array.from({ length: 20 }, (_, i) => `stay-${i}`);
      for (const name of stay) ok(await s.mknod(d, name, 0o100644));
      for (let i = 0; i < 20; i++) ok(await s.mknod(d, `go-${i}`, 0o100644));
      const fd = await s.opendir(d);
      const seen: string[] = [];
      for (let offset = 0, turn = 0; ; turn++) {
        const page = ok(await s.ops.readdir(s.call(), { fd, size: 80, offset }));
        seen.push(...page.entries.map((entry) => entry.name));
        if (page.entries.length === 0 || page.end) break;
        offset = page.entries.at(-1)!.offset;
        if (turn < 20) ok(await s.unlink(d, `go-${turn}`));
        ok(await s.mknod(d, `come-${turn}`, 0o100644));
      }
      fd.release();
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen.filter((name) => name.startsWith('stay')).sort()).toEqual(stay.sort());
    });

    it('goes on after its directory was opened anew', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      for (let i = 0; i < 20; i++) ok(await s.mknod(d, `n${i}`, 0o100644));
      const first = await s.opendir(d);
      const page = ok(await s.ops.readdir(s.call(), { fd: first, size: 200, offset: 0 }));
      first.release();
      const second = await s.opendir(d);
      const rest = ok(await s.ops.readdir(s.call(), { fd: second, size: 65536, offset: page.entries.at(-1)!.offset }));
      second.release();
      const names = [...page.entries, ...rest.entries].map((entry) => entry.name);
      expect(names.filter((name) => name.startsWith('n'))).toHaveLength(20);
      expect(new Set(names).size).toBe(names.length);
    });

    it('with attributes gives those of lookup', async () => {
      const s = session();
      const d = await s.directory(root, 'd');
      await s.file(d, 'f', 'four');
      await s.directory(d, 'e');
      ok(await s.symlink(d, 'l', 'x'));
      const fd = await s.opendir(d);
      const page = ok(await s.ops.readdirp(s.call(), { fd, size: 65536, offset: 0, want: [] }));
      fd.release();
      for (const name of ['f', 'e', 'l']) {
        const entry = page.entries.find((found) => found.name === name)!;
        const iatt = await s.iatt(d, name);
        expect(entry.gfid).toBe(iatt.gfid);
        expect(entry.iatt).toEqual(iatt);
      }
    });
  });
}
