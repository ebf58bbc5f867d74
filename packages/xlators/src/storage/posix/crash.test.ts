import { type Args, type Gfid, gfidFromBytes, locAt, locOf, type Reply, rootGfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Crash, check, crashingSys, view } from './crash.ts';
import { truncate, write } from './io.ts';
import { purge } from './landfill.ts';
import { openStore, quickBrick, removeBrick, rootAt } from './rig.ts';
import type { PosixStore } from './store.ts';
import { setxattr } from './xattrs.ts';

const gfid = (n: number): Gfid => gfidFromBytes(new Uint8Array(16).fill(n));
const [d, e, f, g, h, z] = [gfid(1), gfid(2), gfid(3), gfid(4), gfid(5), gfid(6)] as const;

function mkdir(store: PosixStore, parent: Gfid, name: string, id: Gfid): Reply<'mkdir'> {
  return store.mkdir(rootAt(), {
    loc: locAt(parent, name),
    mode: 0o755,
    gfid: id,
    initial: { 'user.i': Buffer.from('1') },
  });
}

function mknod(store: PosixStore, parent: Gfid, name: string, id: Gfid, mode = 0o100640): Reply<'mknod'> {
  const args: Args<'mknod'> = { loc: locAt(parent, name), mode, rdevMajor: 1, rdevMinor: 3, gfid: id };
  return store.mknod(rootAt({ uid: 3, gid: 4 }), args);
}

/** /d/e, /d/f, /f2 (another name of it), /g, /z */
function prepare(store: PosixStore): void {
  for (const reply of [
    mkdir(store, rootGfid, 'd', d),
    mkdir(store, d, 'e', e),
    mknod(store, d, 'f', f),
    store.link(rootAt(), { from: locOf(f), to: locAt(rootGfid, 'f2') }),
    mknod(store, rootGfid, 'g', g),
    mkdir(store, rootGfid, 'z', z),
  ])
    expect(reply.ok).toBe(true);
}

function rename(store: PosixStore, from: [Gfid, string], to: [Gfid, string], flags = 0): Reply<'rename'> {
  return store.rename(rootAt(), { from: locAt(...from), to: locAt(...to), flags });
}

function withFile(
  store: PosixStore,
  id: Gfid,
  run: (file: Parameters<typeof write>[2]) => { ok: boolean },
): { ok: boolean } {
  const opened = store.open(rootAt(), locOf(id), 2);
  if (!opened.ok) return opened;
  const reply = run(opened.file);
  store.close(opened.file);
  return reply;
}

const cases: Record<string, (store: PosixStore) => { ok: boolean }> = {
  mkdir: (s) => mkdir(s, d, 'new', h),
  'mknod of a file': (s) => mknod(s, d, 'new', h),
  'mknod of a device': (s) => mknod(s, d, 'new', h, 0o020600),
  symlink: (s) => s.symlink(rootAt(), { loc: locAt(d, 'new'), target: 'x', gfid: h }),
  create: (s) => {
    const { reply, file } = s.create(rootAt({ uid: 9 }), { loc: locAt(d, 'new'), flags: 0o302, mode: 0o4755, gfid: h });
    if (file) s.close(file);
    return reply;
  },
  put: (s) => s.put(rootAt(), { loc: locAt(d, 'new'), mode: 0o644, flags: 0, gfid: h, data: Buffer.from('whole') }),
  link: (s) => s.link(rootAt(), { from: locOf(g), to: locAt(d, 'new') }),
  'unlink of the last name': (s) => s.unlink(rootAt(), { loc: locAt(rootGfid, 'g') }),
  'unlink of one of two names': (s) => s.unlink(rootAt(), { loc: locAt(d, 'f') }),
  'unlink of an open file': (s) => withFile(s, g, () => s.unlink(rootAt(), { loc: locAt(rootGfid, 'g') })),
  rmdir: (s) => s.rmdir(rootAt(), { loc: locAt(d, 'e'), recursive: false }),
  'rmdir of a tree': (s) => s.rmdir(rootAt(), { loc: locAt(rootGfid, 'd'), recursive: true }),
  'rename of a file': (s) => rename(s, [rootGfid, 'g'], [d, 'new']),
  'rename of a file over another': (s) => rename(s, [d, 'f'], [rootGfid, 'g']),
  'rename of a file over one of two names': (s) => rename(s, [rootGfid, 'g'], [d, 'f']),
  'rename of a directory': (s) => rename(s, [rootGfid, 'd'], [rootGfid, 'new']),
  'rename of a directory over another': (s) => rename(s, [d, 'e'], [rootGfid, 'z']),
  'exchange of a file and a directory': (s) => rename(s, [rootGfid, 'g'], [d, 'e'], 2),
  chmod: (s) => s.setattr(rootAt(), locOf(g), { mode: 0o4700 }),
  chown: (s) => s.setattr(rootAt(), locOf(g), { uid: 77, gid: 78 }),
  setxattr: (s) => setxattr(s.brick, rootAt(), s.node(locOf(g)) as never, { 'user.x': Buffer.from('1') }, 0, true),
  write: (s) =>
    withFile(s, g, (file) =>
      write(s.brick, rootAt(), file, Buffer.from('data'), 0, { append: false, keepTimes: false }),
    ),
  truncate: (s) => withFile(s, g, (file) => truncate(s.brick, rootAt(), file, 100, false)),
};

/** Runs `run` on a fresh brick with a crash before change `n`; null if it ended before that. */
function crashAt(n: number, run: (store: PosixStore) => { ok: boolean }): { directory: string; crashed: boolean } {
  const directory = quickBrick();
  const { sys, arm } = crashingSys();
  const store = openStore(directory, sys);
  prepare(store);
  arm(n);
  let crashed = false;
  try {
    expect(run(store).ok).toBe(true);
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
    crashed = true;
  }
  store.brick.shut();
  return { directory, crashed };
}

function viewOf(directory: string, run?: (store: PosixStore) => { ok: boolean }): string[] {
  const store = openStore(directory);
  const result = run?.(store);
  if (result) expect(result).toMatchObject({ ok: true });
  while (purge(store.brick, 100));
  const seen = [...view(store)].map(([path, line]) => `${path} ${line}`).sort();
  store.shut();
  return seen;
}

function viewAfter(run: (store: PosixStore) => { ok: boolean }): { before: string[]; after: string[] } {
  const { directory } = crashAt(Number.POSITIVE_INFINITY, () => ({ ok: true }));
  const before = viewOf(directory);
  const after = viewOf(directory, run);
  removeBrick(directory);
  return { before, after };
}

describe('a crash before any change of', () => {
  it.each(Object.entries(cases))('%s leaves the old or the new state, and a brick in order', (_name, run) => {
    const { before, after } = viewAfter(run);
    expect(after).not.toEqual(before);
    let n = 0;
    for (let crashed = true; crashed; n++) {
      const result = crashAt(n, run);
      crashed = result.crashed;
      const seen = viewOf(result.directory);
      expect([before, after], `crash before change ${n}`).toContainEqual(seen);
      const old = seen.length === before.length && seen.every((line, i) => line === before[i]);
      // What was not done can be done now; then nothing tells that there was a crash.
      if (old) expect(viewOf(result.directory, run)).toEqual(after);
      const { wrong, garbage } = check(result.directory);
      expect(wrong, `crash before change ${n}`).toEqual([]);
      expect(garbage.length).toBeLessThanOrEqual(1);
      if (!crashed) expect(garbage).toEqual([]);
      removeBrick(result.directory);
    }
    expect(n).toBeGreaterThan(1);
  });
});
