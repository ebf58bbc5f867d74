import { readFileSync } from 'node:fs';
import {
  type AttrChange,
  type Call,
  Errno,
  emptyIatt,
  Fd,
  FileType,
  type Gfid,
  type Loc,
  locAt,
  locOf,
  type Reply,
  type Xattrs,
} from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { rig, rigCall } from '../../lib/translator-rig.ts';
import { aclAccess, type Guard, parseAcl, permits } from './acl.ts';
import { xlator } from './index.ts';

const dir = '00000000-0000-0000-0000-0000000000d1' as Gfid;
const dir2 = '00000000-0000-0000-0000-0000000000d2' as Gfid;
const file = '00000000-0000-0000-0000-0000000000f1' as Gfid;
const subdir = '00000000-0000-0000-0000-0000000000d3' as Gfid;

interface Known {
  type: FileType;
  mode: number;
  uid: number;
  gid: number;
  acl?: Uint8Array;
}

const user = (uid: number, gid = 100, groups: number[] = []): Call => rigCall('c', { uid, gid, groups });

/** A small brick: a directory with a file and a directory in it, another directory. */
async function make(changes: Partial<Record<'dir' | 'dir2' | 'file' | 'subdir', Partial<Known>>> = {}) {
  const files = new Map<Gfid, Known>([
    [dir, { type: FileType.directory, mode: 0o755, uid: 1, gid: 10, ...changes.dir }],
    [dir2, { type: FileType.directory, mode: 0o777, uid: 9, gid: 90, ...changes.dir2 }],
    [file, { type: FileType.regular, mode: 0o640, uid: 1, gid: 10, ...changes.file }],
    [subdir, { type: FileType.directory, mode: 0o755, uid: 1, gid: 10, ...changes.subdir }],
  ]);
  const names = new Map([
    ['f', file],
    ['s', subdir],
  ]);
  const r = await rig(xlator);
  r.child.answers.lookup = async (_, { loc, want }): Promise<Reply<'lookup'>> => {
    const gfid = loc.gfid ?? (loc.parent === dir ? names.get(loc.name!) : undefined);
    const known = gfid && files.get(gfid);
    if (!known) return { ok: false, errno: Errno.ENOENT };
    const xattrs: Xattrs = known.acl && want?.includes(aclAccess) ? { [aclAccess]: known.acl } : {};
    return { ok: true, iatt: { ...emptyIatt(gfid, known.type), ...known }, postParent: emptyIatt(dir), xattrs };
  };
  r.child.answers.setattr = async (_, { loc, attr }) => {
    Object.assign(files.get(loc.gfid!)!, attr);
    return { ok: true, pre: emptyIatt(), post: emptyIatt() };
  };
  return { ...r, files };
}

type Made = Awaited<ReturnType<typeof make>>;
const errno = (reply: { ok: boolean; errno?: number }) => (reply.ok ? 0 : reply.errno);
const aclBytes = (entries: [tag: number, permissions: number, id?: number][]): Uint8Array => {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id = 0xffffffff], i) => {
    bytes.writeUInt16LE(tag, 4 + 8 * i);
    bytes.writeUInt16LE(permissions, 6 + 8 * i);
    bytes.writeUInt32LE(id, 8 + 8 * i);
  });
  return bytes;
};

describe('evaluation', () => {
  const guard: Guard = { uid: 1, gid: 10, mode: 0o754, isDirectory: false, acl: undefined };

  it('takes the class of the caller, even if another would permit more', () => {
    const can = (uid: number, gid: number, wanted: number, groups: number[] = []) =>
      permits({ ...guard, mode: 0o047 }, { uid, gid, groups }, wanted);
    expect(can(1, 10, 4)).toBe(false);
    expect(can(2, 10, 4)).toBe(true);
    expect(can(2, 10, 2)).toBe(false);
    expect(can(2, 20, 4, [10])).toBe(true);
    expect(can(2, 20, 7)).toBe(true);
  });

  it('follows an ACL that GlusterFS stored', () => {
    const text = readFileSync(new URL('../../../../../test/fixtures/access-control/acl.json', import.meta.url), 'utf8');
    const { value, mode } = JSON.parse(text) as { value: string; mode: number };
    const acl = parseAcl(Buffer.from(value, 'hex'));
    const can = (uid: number, gid: number, wanted: number) =>
      permits({ uid: 0, gid: 0, mode, isDirectory: true, acl }, { uid, gid, groups: [] }, wanted);
    expect(acl).toHaveLength(5);
    expect([can(1234, 5, 6), can(1234, 5, 1), can(7, 0, 5), can(7, 0, 2), can(7, 7, 5), can(7, 7, 2)]).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
  });

  it('masks named users and all groups, not the owner and others', () => {
    const acl = parseAcl(
      aclBytes([
        [1, 7],
        [2, 7, 5],
        [4, 7],
        [8, 6, 30],
        [0x10, 4],
        [0x20, 3],
      ]),
    )!;
    const can = (uid: number, gid: number, wanted: number, groups: number[] = []) =>
      permits({ ...guard, acl }, { uid, gid, groups }, wanted);
    expect(can(1, 1, 7)).toBe(true);
    expect([can(5, 1, 4), can(5, 1, 2)]).toEqual([true, false]);
    expect([can(6, 10, 4), can(6, 10, 2)]).toEqual([true, false]);
    expect([can(6, 1, 4, [30]), can(6, 1, 2, [30])]).toEqual([true, false]);
    expect([can(6, 1, 3), can(6, 1, 4)]).toEqual([true, false]);
  });

  it('wants one group that permits everything, and does not fall through to others', () => {
    const acl = parseAcl(
      aclBytes([
        [1, 7],
        [4, 4],
        [8, 2, 30],
        [0x10, 7],
        [0x20, 7],
      ]),
    )!;
    expect(permits({ ...guard, acl }, { uid: 6, gid: 10, groups: [30] }, 6)).toBe(false);
    expect(permits({ ...guard, acl }, { uid: 6, gid: 10, groups: [30] }, 2)).toBe(true);
  });

  it('refuses bytes that are no ACL', () => {
    for (const bad of [[], [2, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 1]])
      expect(parseAcl(Uint8Array.from(bad))).toBeUndefined();
  });
});

describe('files', () => {
  const open = (r: Made, call: Call, flags: number) =>
    r.xlator.ops.open(call, { loc: locOf(file), flags, fd: new Fd(file) }).then(errno);

  it('are opened by those who may', async () => {
    const r = await make();
    expect(await open(r, user(1), 2)).toBe(0);
    expect(await open(r, user(2, 10), 0)).toBe(0);
    expect(await open(r, user(2, 10), 1)).toBe(Errno.EACCES);
    expect(await open(r, user(2, 10), 0o1000)).toBe(Errno.EACCES);
    expect(await open(r, user(2), 0)).toBe(Errno.EACCES);
    expect(await open(r, user(0), 2)).toBe(0);
    expect(await open(r, { ...user(7), internal: 'rebalance' }, 2)).toBe(0);
  });

  it('are executed without being readable', async () => {
    const r = await make({ file: { mode: 0o711 } });
    expect(await open(r, user(5), 0o40)).toBe(0);
    expect(await open(r, user(5), 0)).toBe(Errno.EACCES);
  });

  it('are asked of the disk once, and again after a change', async () => {
    const r = await make();
    const lookups = () => r.child.calls.filter(({ fop }) => fop === 'lookup').length;
    await open(r, user(2, 10), 0);
    await open(r, user(2, 10), 0);
    expect(lookups()).toBe(1);
    await r.xlator.ops.setattr(user(0), { loc: locOf(file), attr: { mode: 0o600 } });
    expect(await open(r, user(2, 10), 0)).toBe(Errno.EACCES);
    expect(lookups()).toBe(2);
    await open(r, user(0), 0);
    expect(lookups()).toBe(2);
  });

  it('are not judged by what a change overtook', async () => {
    const r = await make();
    const { lookup } = r.child.answers;
    let answer: () => void = () => {};
    r.child.answers.lookup = async (call, args) => {
      const reply = await lookup!(call, args);
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return reply;
    };
    const first = open(r, user(2, 10), 0);
    await new Promise((resolve) => setImmediate(resolve));
    r.child.answers.lookup = lookup!;
    await r.xlator.ops.setattr(user(0), { loc: locOf(file), attr: { mode: 0o600 } });
    answer();
    await first;
    expect(await open(r, user(2, 10), 0)).toBe(Errno.EACCES);
  });

  it('answer access(2)', async () => {
    const r = await make();
    const access = (call: Call, mask: number, loc: Loc = locOf(file)) =>
      r.xlator.ops.access(call, { loc, mask }).then(errno);
    expect(await access(user(2, 10), 4)).toBe(0);
    expect(await access(user(2, 10), 6)).toBe(Errno.EACCES);
    expect(await access(user(0), 6)).toBe(0);
    expect(await access(user(0), 1)).toBe(Errno.EACCES);
    expect(await access(user(0), 1, locOf(dir))).toBe(0);
    expect(await access(user(1), 8)).toBe(Errno.EINVAL);
    expect(await access(user(1), 0, locAt(dir, 'none'))).toBe(Errno.ENOENT);
  });

  it('are truncated, and have xattrs, by the same rules', async () => {
    const r = await make({ file: { mode: 0o444 } });
    const { ops } = r.xlator;
    expect(errno(await ops.truncate(user(2), { loc: locOf(file), size: 0 }))).toBe(Errno.EACCES);
    const set = (call: Call, name: string) =>
      ops.setxattr(call, { loc: locOf(file), xattrs: { [name]: new Uint8Array(1) }, flags: 0 }).then(errno);
    expect(await set(user(2), 'user.a')).toBe(Errno.EACCES);
    expect(await set(user(2), aclAccess)).toBe(Errno.EPERM);
    expect(await set(user(1), aclAccess)).toBe(0);
    expect(errno(await ops.removexattr(user(2), { loc: locOf(file), name: aclAccess }))).toBe(Errno.EPERM);
    expect(errno(await ops.getxattr(user(2), { loc: locOf(file), name: 'user.a' }))).toBe(0);
    await ops.setattr(user(1), { loc: locOf(file), attr: { mode: 0o400 } });
    expect(errno(await ops.getxattr(user(2), { loc: locOf(file), name: 'user.a' }))).toBe(Errno.EACCES);
    expect(errno(await ops.getxattr(user(2), { loc: locOf(file), name: aclAccess }))).toBe(0);
  });

  it('with an ACL on disk that makes no sense are refused', async () => {
    const r = await make({ file: { acl: new Uint8Array(3) } });
    expect(await open(r, user(2), 0)).toBe(Errno.EIO);
  });
});

describe('attributes', () => {
  it.each<[string, Call, AttrChange, number]>([
    ['owner changes the mode', user(1), { mode: 0o600 }, 0],
    ['another does not', user(2), { mode: 0o600 }, Errno.EPERM],
    ['owner does not give it away', user(1), { uid: 2 }, Errno.EPERM],
    ['owner keeps it', user(1), { uid: 1 }, 0],
    ['root gives it away', user(0), { uid: 2 }, 0],
    ['owner gives it to his group', user(1, 5, [50]), { gid: 50 }, 0],
    ['owner does not give it to another', user(1, 5), { gid: 50 }, Errno.EPERM],
    ['owner sets times', user(1), { mtime: { sec: 1, nsec: 0 } }, 0],
    ['group that may only read does not', user(2, 10), { mtime: { sec: 1, nsec: 0 } }, Errno.EACCES],
  ])('%s', async (_, call, attr, expected) => {
    const r = await make();
    expect(errno(await r.xlator.ops.setattr(call, { loc: locOf(file), attr }))).toBe(expected);
    expect(errno(await r.xlator.ops.fsetattr(call, { fd: new Fd(file), attr }))).toBe(expected);
  });

  it('loses the set-group-id bit when the owner is not in the group', async () => {
    const r = await make();
    await r.xlator.ops.setattr(user(1, 5), { loc: locOf(file), attr: { mode: 0o2755 } });
    await r.xlator.ops.setattr(user(1, 10), { loc: locOf(file), attr: { mode: 0o2755 } });
    await r.xlator.ops.setattr(user(0), { loc: locOf(file), attr: { mode: 0o2755 } });
    const modes = r.child.calls
      .filter(({ fop }) => fop === 'setattr')
      .map(({ args }) => (args as { attr: AttrChange }).attr.mode);
    expect(modes).toEqual([0o755, 0o2755, 0o2755]);
  });
});

describe('directories', () => {
  const made = { mode: 0o644, gfid: file, flags: 0, fd: new Fd(file), target: 't', rdevMajor: 0, rdevMinor: 0 };

  it('need execute for a lookup by name, nothing for one by gfid', async () => {
    const r = await make({ dir: { mode: 0o700 } });
    expect(errno(await r.xlator.ops.lookup(user(2), { loc: locAt(dir, 'f') }))).toBe(Errno.EACCES);
    expect(errno(await r.xlator.ops.lookup(user(1), { loc: locAt(dir, 'f') }))).toBe(0);
    expect(errno(await r.xlator.ops.lookup(user(2), { loc: locOf(file) }))).toBe(0);
    expect(errno(await r.xlator.ops.opendir(user(2), { loc: locOf(dir), fd: new Fd(dir) }))).toBe(Errno.EACCES);
  });

  it('need write for every fop that makes a name', async () => {
    const r = await make();
    const { ops } = r.xlator;
    const loc = locAt(dir, 'new');
    for (const call of [user(1), user(2)]) {
      const replies = [
        await ops.create(call, { loc, ...made }),
        await ops.mkdir(call, { loc, ...made }),
        await ops.mknod(call, { loc, ...made }),
        await ops.symlink(call, { loc, ...made }),
        await ops.link(call, { from: locOf(file), to: loc }),
        await ops.put(call, { loc, ...made, data: new Uint8Array(0) }),
        await ops.namelink(call, { loc }),
      ];
      expect(replies.map(errno)).toEqual(replies.map(() => (call.uid === 1 ? 0 : Errno.EACCES)));
    }
  });

  it('with the sticky bit protect the files of others', async () => {
    const r = await make({ dir: { mode: 0o1777, uid: 9 } });
    const { ops } = r.xlator;
    expect(errno(await ops.unlink(user(2), { loc: locAt(dir, 'f', file) }))).toBe(Errno.EPERM);
    expect(errno(await ops.unlink(user(2), { loc: locAt(dir, 'f') }))).toBe(Errno.EPERM);
    expect(errno(await ops.unlink(user(1), { loc: locAt(dir, 'f') }))).toBe(0);
    expect(errno(await ops.rmdir(user(9), { loc: locAt(dir, 's'), recursive: false }))).toBe(0);
    const replace = (call: Call) => ops.rename(call, { from: locAt(dir2, 'x', subdir), to: locAt(dir, 'f'), flags: 0 });
    expect(errno(await replace(user(2)))).toBe(Errno.EPERM);
  });

  it('that move need write permission of their own', async () => {
    const r = await make({ dir: { mode: 0o777 } });
    const move = (call: Call, to: Loc, name = 's') =>
      r.xlator.ops.rename(call, { from: locAt(dir, name), to, flags: 0 }).then(errno);
    expect(await move(user(2), locAt(dir, 't'))).toBe(0);
    expect(await move(user(2), locAt(dir2, 't'))).toBe(Errno.EACCES);
    expect(await move(user(1), locAt(dir2, 't'))).toBe(0);
    expect(await move(user(2), locAt(dir2, 't'), 'f')).toBe(0);
  });

  it('are looked at in compounds', async () => {
    const r = await make();
    const steps = [{ fop: 'unlink', args: { loc: locAt(dir, 'f') } }];
    const reply = await r.xlator.ops.compound(user(2), { steps });
    expect(reply).toEqual({ ok: true, replies: [{ ok: false, errno: Errno.EACCES }] });
  });
});
