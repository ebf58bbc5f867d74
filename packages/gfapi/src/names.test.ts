import { Errno, type GraphEvent, locAt, rootGfid } from '@mortar/core';
import { describe, expect, it, vi } from 'vitest';
import { controlled } from './controlled-rig.ts';
import { codeOf } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

describe('names', () => {
  it('on the way are believed, and last ones asked for', async () => {
    const { volume: v, state } = await controlled();
    await v.mkdir('/a/b', { recursive: true });
    await v.writeFile('/a/b/f', 'x');
    state.seen.length = 0;
    await v.stat('/a/b/f');
    await v.readFile('/a/b/f');
    expect(state.seen).toEqual(['a lookup', 'a open', 'a readv']);
  });

  it('are not believed when they are told not to be', async () => {
    const { volume: v, state } = await controlled({ entryTimeoutMs: 0 });
    await v.mkdir('/a/b', { recursive: true });
    state.seen.length = 0;
    await v.stat('/a/b');
    expect(state.seen).toEqual(['a lookup', 'a lookup']);
  });

  it('that proved wrong are asked for once more', async () => {
    const { volume: v, state } = await controlled();
    const { storage } = state;
    await v.mkdir('/d');
    await v.writeFile('/d/f', 'old');
    // Somebody else replaces the directory.
    const elsewhere = v.as({ uid: 0, gid: 0 });
    await elsewhere.stat('/d');
    const call = { uid: 0, gid: 0, groups: [], pid: 0, lockOwner: '', clientId: '', time: { sec: 1, nsec: 0 } };
    const from = locAt(rootGfid, 'd');
    expect(await storage.ops.rename(call, { from, to: locAt(rootGfid, 'e'), flags: 0 })).toMatchObject({ ok: true });
    await elsewhere.mkdir('/g');
    expect(await codeOf(v.unlink('/d/none'))).toBe('ENOENT');
    expect(await v.readFile('/e/f', 'utf8')).toBe('old');
    state.failing = { fop: 'open', errno: Errno.ESTALE };
    expect(await v.readFile('/e/f', 'utf8')).toBe('old');
  });

  it('end by upcalls, own changes, and are bounded', async () => {
    const { volume: v, state } = await controlled({ nameCacheLimit: 3 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) await v.mkdir(`/${name}/x`, { recursive: true });
    state.seen.length = 0;
    await v.stat('/a/x');
    expect(state.seen).toEqual(['a lookup', 'a lookup']);
    await v.stat('/a/x');
    const event: GraphEvent = { type: 'upcall', gfid: rootGfid, what: 'entry', name: 'a' };
    state.tops[0]!.propagate(event);
    state.seen.length = 0;
    await v.stat('/a/x');
    expect(state.seen).toEqual(['a lookup', 'a lookup']);
    await v.rename('/a', '/z');
    expect(await codeOf(v.stat('/a/x'))).toBe('ENOENT');
    expect((await v.stat('/z/x')).isDirectory()).toBe(true);
  });
});

describe('a name that was asked for before this client took it away', () => {
  const ways: [string, (v: Volume) => Promise<void>][] = [
    ['rename', (v) => v.rename('/f', '/h')],
    ['unlink', (v) => v.unlink('/f')],
    ['rm', (v) => v.rm('/f', { force: true })],
  ];

  async function linked() {
    const { volume: v, state } = await controlled();
    await v.writeFile('/f', 'x');
    await v.link('/f', '/other');
    const isNotThere = async () => {
      expect(await codeOf(v.readFile('/f'))).toBe('ENOENT');
      expect(await v.readFile('/other', 'utf8')).toBe('x');
    };
    return { v, state, isNotThere };
  }

  it.each(ways)('is not believed when the answer comes after that: %s', async (_way, take) => {
    const { v, state, isNotThere } = await linked();
    const arrive = state.answerLate('lookup');
    const looking = v.stat('/f');
    await take(v);
    arrive();
    await looking;
    await isNotThere();
  });

  it.each(ways)('is not believed when the answer comes while it did: %s', async (way, take) => {
    const { v, state, isNotThere } = await linked();
    const arrive = state.answerLate(way === 'rename' ? 'rename' : 'unlink', 'before');
    const taking = take(v);
    await vi.waitFor(() => expect(state.late).toBeNull());
    await v.stat('/f');
    arrive();
    await taking;
    await isNotThere();
  });
});
