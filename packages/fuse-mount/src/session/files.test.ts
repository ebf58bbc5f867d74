import { Errno, Fd, locOf, rootCall } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { mounted, text, u32, u64 } from './session-rig.ts';

describe('files', () => {
  it('are read and changed through an fd when their name is gone', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.write(fh, node, 'hello');
    await rig.expect('unlink', 1, text('a'));
    expect((await rig.read(fh, node)).body.toString()).toBe('hello');
    const attr = await rig.expect('getattr', node, u32(0, 0), u64(0));
    expect([attr.readBigUInt64LE(24), attr.readUInt32LE(80)]).toEqual([5n, 0]);
    await rig.expect('setxattr', node, u32(1, 0, 0, 0), text('user.a'), Buffer.from('x'));
    expect((await rig.expect('getxattr', node, u32(10, 0), text('user.a'))).toString()).toBe('x');
  });

  it('that changed elsewhere are known anew when they are opened, attributes and pages', async () => {
    const { rig, top } = mounted({ keepCache: true });
    const { node, fh } = await rig.create('a');
    await rig.write(fh, node, 'mine');
    const open = async () => {
      rig.channel.answers.length = 0;
      const body = await rig.expect('open', node, u32(2, 0));
      const told = rig.channel.answers.filter(({ unique }) => unique === 0).length;
      return { told, keepsPages: (body.readUInt32LE(8) & 2) !== 0 };
    };
    expect(await open()).toEqual({ told: 0, keepsPages: true });
    const { gfid } = rig.session.nodes.byId(node)!;
    const call = { ...rootCall(rig.session.services.clock), clientId: 'other' };
    await top.truncate(call, { loc: locOf(gfid), size: 1 });
    expect(await open()).toEqual({ told: 1, keepsPages: false });
    await rig.expect('getattr', node, u32(0, 0), u64(0));
    expect(await open()).toEqual({ told: 0, keepsPages: true });
  });

  it('whose attributes are changed here lose the pages that are of before what others did, as the kernel will not notice it', async () => {
    const { rig, top, services } = mounted();
    const { node, fh } = await rig.create('a');
    const { gfid } = rig.session.nodes.byId(node)!;
    const there = { ...rootCall(rig.session.services.clock), clientId: 'other' };
    const other = async (text: string) => {
      const fd = new Fd(gfid, 2);
      await top.writev(there, { fd, offset: 0, data: Buffer.from(text) });
    };
    const chmod = async (mode: number) => {
      rig.channel.notices.length = 0;
      await rig.expect('setattr', node, u32(1, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, mode, 0, 0, 0, 0));
      return rig.channel.notices.map((notice) => notice.readBigInt64LE(24));
    };
    await rig.write(fh, node, 'mine');
    expect(await chmod(0o600)).toEqual([]);
    await other('hers');
    expect(await chmod(0o644)).toEqual([0n]);
    expect(await chmod(0o600)).toEqual([]);
    await other('long one');
    await rig.write(fh, node, 'mine');
    expect(await chmod(0o644)).toEqual([0n]);
    await other('his');
    // Told by an answer to a question, which none crosses, the kernel sees to its pages.
    await services.clock.advance(100);
    await rig.expect('getattr', node, u32(0, 0), u64(0));
    expect(await chmod(0o600)).toEqual([]);
  });

  it('append where the file ends, whatever offset the kernel believed', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a', 0o2002);
    await rig.write(fh, node, 'one', { flags: 0o2002 });
    await rig.write(fh, node, 'two', { flags: 0o2002, offset: 0 });
    expect((await rig.read(fh, node)).body.toString()).toBe('onetwo');
  });

  it('lose setuid and setgid when written by those who may not keep them', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    const mode = async () => (await rig.expect('getattr', node, u32(0, 0), u64(0))).readUInt32LE(76) & 0o7777;
    const chmod = (bits: number) =>
      rig.expect('setattr', node, u32(1, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, bits, 0, 0, 0, 0));
    await chmod(0o6755);
    await rig.write(fh, node, 'x');
    expect(await mode()).toBe(0o6755);
    await rig.write(fh, node, 'x', { writeFlags: 4 });
    expect(await mode()).toBe(0o755);
    await chmod(0o6745);
    await rig.expect('setattr', node, u32(2, 0), u64(0, 0, 0, 0, 0, 0), u32(0, 0, 0, 0, 0, 12, 0, 0));
    expect(await mode()).toBe(0o2745);
  });

  it('answer a size beyond 2^53 with EFBIG', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    expect((await rig.read(fh, node, 10, 2 ** 60)).errno).toBe(Errno.EFBIG);
    expect((await rig.write(fh, node, 'x', { offset: 2 ** 53 })).errno).toBe(Errno.EFBIG);
  });

  it('of a closed handle get EBADF', async () => {
    const { rig } = mounted();
    const { node, fh } = await rig.create('a');
    await rig.expect('release', node, u64(fh), u32(0, 0), u64(0));
    expect((await rig.read(fh, node)).errno).toBe(Errno.EBADF);
    expect((await rig.ask('flush', node, u64(fh, 0, 0))).errno).toBe(Errno.EBADF);
  });
});

describe('extended attributes', () => {
  it('tell their size, and ERANGE when the room is too small', async () => {
    const { rig } = mounted();
    const { node } = await rig.create('a');
    await rig.expect('setxattr', node, u32(5, 0, 0, 0), text('user.a'), Buffer.from('value'));
    expect((await rig.expect('getxattr', node, u32(0, 0), text('user.a'))).readUInt32LE(0)).toBe(5);
    expect((await rig.ask('getxattr', node, u32(4, 0), text('user.a'))).errno).toBe(Errno.ERANGE);
    expect((await rig.expect('listxattr', node, u32(100, 0))).toString()).toBe('user.a\0');
  });

  it.each([
    ['security.capability', Errno.ENODATA],
    ['security.selinux', Errno.EOPNOTSUPP],
    ['system.posix_acl_access', Errno.EOPNOTSUPP],
    ['constructor', Errno.ENODATA],
    ['__proto__', Errno.ENODATA],
  ])('%s is answered with errno %i', async (name, errno) => {
    const { rig } = mounted();
    expect((await rig.ask('getxattr', 1, u32(100, 0), text(name))).errno).toBe(errno);
  });

  it("does not let the file system's own be set", async () => {
    const { rig } = mounted();
    for (const name of ['trusted.gfid', 'trusted.afr.v-client-0'])
      expect((await rig.ask('setxattr', 1, u32(1, 0, 0, 0), text(name), Buffer.from('x'))).errno).toBe(Errno.EPERM);
  });
});
