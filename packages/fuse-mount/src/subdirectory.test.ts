import {
  type Args,
  Errno,
  emptyIatt,
  Fd,
  FileType,
  type Fop,
  type FopName,
  type Gfid,
  locAt,
  locOf,
  type Reply,
  rootGfid,
  type Subvolume,
} from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { findDirectory, subdirectoryView } from './subdirectory.ts';

const directory = '11111111-1111-4111-8111-111111111111' as Gfid;
const other = '22222222-2222-4222-8222-222222222222' as Gfid;
const call = { uid: 0, gid: 0, groups: [], pid: 0, lockOwner: '', clientId: '', time: { sec: 0, nsec: 0 } };

let asked: { fop: FopName; args: unknown }[];
let answers: Partial<Record<FopName, unknown>>;

/** Records what it is asked and answers as told. */
const volume = new Proxy({} as Subvolume, {
  get: (_, fop: FopName): Fop<FopName> => {
    return async (_call, args) => {
      asked.push({ fop, args });
      return (answers[fop] ?? { ok: true }) as Reply<FopName>;
    };
  },
});
const { ops, upcall } = subdirectoryView(volume, directory);

beforeEach(() => {
  asked = [];
  answers = {};
});

const iatt = (gfid: Gfid) => emptyIatt(gfid, FileType.directory);
const lastArgs = <N extends FopName>(): Args<N> => asked.at(-1)!.args as Args<N>;

describe('subdirectoryView', () => {
  it('asks for the directory where the mount asks for the root', async () => {
    answers.lookup = { ok: true, iatt: iatt(other), postParent: iatt(directory), xattrs: {} };
    const reply = await ops.lookup(call, { loc: locAt(rootGfid, 'x') });
    expect(lastArgs<'lookup'>().loc).toEqual(locAt(directory, 'x'));
    expect(reply).toEqual({ ok: true, iatt: iatt(other), postParent: iatt(rootGfid), xattrs: {} });
  });

  it('maps both places of a rename', async () => {
    await ops.rename(call, { from: locAt(other, 'a'), to: locAt(rootGfid, 'b'), flags: 0 });
    expect(lastArgs<'rename'>()).toEqual({ from: locAt(other, 'a'), to: locAt(directory, 'b'), flags: 0 });
  });

  it('opens the directory, and lists it through the same inner fd', async () => {
    const fd = new Fd(rootGfid);
    await ops.opendir(call, { loc: locOf(rootGfid), fd });
    const inner = lastArgs<'opendir'>().fd;
    expect(inner.gfid).toBe(directory);
    const entry = (gfid: Gfid) => ({ name: '.', gfid, type: 4, offset: 1, iatt: iatt(gfid), xattrs: null });
    answers.readdirp = { ok: true, entries: [entry(directory), entry(other)], end: true };
    const reply = await ops.readdirp(call, { fd, size: 4096, offset: 0 });
    expect(lastArgs<'readdirp'>().fd).toBe(inner);
    expect(reply).toEqual({ ok: true, entries: [entry(rootGfid), entry(other)], end: true });
    fd.release();
    expect(inner.released).toBe(true);
  });

  it('leaves other fds as they are', async () => {
    const fd = new Fd(other);
    await ops.flush(call, { fd });
    expect(lastArgs<'flush'>().fd).toBe(fd);
  });

  it('passes failures on', async () => {
    answers.stat = { ok: false, errno: Errno.EIO };
    expect(await ops.stat(call, { loc: locOf(rootGfid) })).toEqual({ ok: false, errno: Errno.EIO });
  });

  it('maps the steps of a compound', async () => {
    await ops.compound(call, { steps: [{ fop: 'stat', args: { loc: locOf(rootGfid) } }] });
    expect(lastArgs<'compound'>().steps).toEqual([{ fop: 'stat', args: { loc: locOf(directory) } }]);
  });

  it('maps the file of an up-call', () => {
    expect(upcall({ type: 'upcall', gfid: directory, what: 'entry' }).gfid).toBe(rootGfid);
    expect(upcall({ type: 'upcall', gfid: other, what: 'entry' }).gfid).toBe(other);
  });
});

describe('findDirectory', () => {
  it('looks up one name after the other', async () => {
    answers.lookup = { ok: true, iatt: iatt(directory), postParent: iatt(rootGfid), xattrs: {} };
    expect(await findDirectory(volume, call, '/a//b/')).toEqual({ ok: true, gfid: directory });
    expect(asked.map(({ args }) => (args as Args<'lookup'>).loc)).toEqual([
      locAt(rootGfid, 'a'),
      locAt(directory, 'b'),
    ]);
  });

  it('takes / as the root', async () => {
    expect(await findDirectory(volume, call, '/')).toEqual({ ok: true, gfid: rootGfid });
  });

  it.each([
    [{ ok: false, errno: Errno.ENOENT }, Errno.ENOENT],
    [{ ok: true, iatt: emptyIatt(other, FileType.regular) }, Errno.ENOTDIR],
  ])('names the part that is not there or no directory', async (answer, errno) => {
    answers.lookup = answer;
    expect(await findDirectory(volume, call, '/a/b')).toEqual({ ok: false, errno, path: '/a' });
  });
});
