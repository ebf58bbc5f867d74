import {
  Errno,
  emptyIatt,
  Fd,
  FileType,
  type Fop,
  type FopName,
  type Gfid,
  locAt,
  locOf,
  rootGfid,
  type Subvolume,
} from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { gfidDirectory, withGfidDirectory } from './gfid-directory.ts';

const file = '11111111-1111-4111-8111-11111111abcd' as Gfid;
const call = { uid: 0, gid: 0, groups: [], pid: 0, lockOwner: '', clientId: '', time: { sec: 0, nsec: 0 } };
let asked: { fop: FopName; args: unknown }[];
let answer: unknown;
const volume = new Proxy({} as Subvolume, {
  get: (_, fop: FopName): Fop<FopName> => {
    return (async (_call: unknown, args: unknown) => {
      asked.push({ fop, args });
      return answer;
    }) as unknown as Fop<FopName>;
  },
});
const ops = withGfidDirectory(volume);
beforeEach(() => {
  asked = [];
  answer = { ok: true };
});

describe('.gfid', () => {
  it('is a directory of its own in the root', async () => {
    const reply = await ops.lookup(call, { loc: locAt(rootGfid, '.gfid') });
    expect(reply).toMatchObject({ ok: true, iatt: { gfid: gfidDirectory, type: FileType.directory, mode: 0o500 } });
    expect(await ops.readdirp(call, { fd: new Fd(gfidDirectory), size: 4096, offset: 0 })).toMatchObject({
      entries: [],
    });
    expect(asked).toEqual([]);
  });

  it('has every object under its gfid, whatever the case of the digits', async () => {
    answer = { ok: true, iatt: emptyIatt(file, FileType.regular) };
    const reply = await ops.lookup(call, { loc: locAt(gfidDirectory, file.toUpperCase()), gfid: gfidDirectory });
    expect(reply).toBe(answer);
    // Nothing is adopted under a name that is none.
    expect(asked).toEqual([{ fop: 'lookup', args: { loc: locOf(file) } }]);
  });

  it.each(['x', '', `${file}0`])('has nothing else: %j', async (name) => {
    expect(await ops.lookup(call, { loc: locAt(gfidDirectory, name) })).toEqual({ ok: false, errno: Errno.ENOENT });
    expect(asked).toEqual([]);
  });

  it('says ENOENT of a gfid that nothing has', async () => {
    answer = { ok: false, errno: Errno.ESTALE };
    expect(await ops.lookup(call, { loc: locAt(gfidDirectory, file) })).toEqual({ ok: false, errno: Errno.ENOENT });
  });

  it('cannot be changed, nor its name taken', async () => {
    const refusal = { ok: false, errno: Errno.EPERM };
    expect(await ops.mkdir(call, { loc: locAt(rootGfid, '.gfid'), mode: 0, gfid: file })).toEqual(refusal);
    expect(await ops.unlink(call, { loc: locAt(gfidDirectory, file) })).toEqual(refusal);
    expect(await ops.rename(call, { from: locAt(rootGfid, 'x'), to: locAt(gfidDirectory, 'y'), flags: 0 })).toEqual(
      refusal,
    );
    expect(await ops.setattr(call, { loc: locOf(gfidDirectory), attr: { mode: 0 } })).toEqual(refusal);
    expect(asked).toEqual([]);
  });

  it('is not in the way of anything else', async () => {
    await ops.lookup(call, { loc: locAt(rootGfid, 'x') });
    await ops.mkdir(call, { loc: locAt(file, '.gfid'), mode: 0, gfid: file });
    await ops.stat(call, { loc: locOf(rootGfid) });
    expect(asked.map(({ fop }) => fop)).toEqual(['lookup', 'mkdir', 'stat']);
  });
});
