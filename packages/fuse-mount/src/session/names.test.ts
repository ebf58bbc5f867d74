import { Errno } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { mounted, text, u32, u64 } from './session-rig.ts';

describe('names', () => {
  it.each([
    ['mkdir', [u32(0o755, 0)]],
    ['unlink', []],
  ] as const)('%s refuses names that cannot be', async (op, before) => {
    const { rig } = mounted();
    expect((await rig.ask(op, 1, ...before, text('x'.repeat(256)))).errno).toBe(Errno.ENAMETOOLONG);
    expect((await rig.ask(op, 1, ...before, text('a/b'))).errno).toBe(Errno.EINVAL);
    expect((await rig.ask(op, 1, ...before, text('..'))).errno).toBe(Errno.EINVAL);
  });

  it('rename refuses a whiteout', async () => {
    const { rig } = mounted();
    expect((await rig.ask('rename2', 1, u64(1), u32(4, 0), text('a', 'b'))).errno).toBe(Errno.EINVAL);
  });

  it('a create that lost a race opens the file that is there', async () => {
    const { rig } = mounted();
    const first = await rig.create('a');
    await rig.write(first.fh, first.node, 'there');
    const second = await rig.create('a');
    expect(second.node).toBe(first.node);
    expect((await rig.read(second.fh, second.node)).body.toString()).toBe('there');
  });

  it('a file without a name gets one by link', async () => {
    const { rig } = mounted();
    const body = await rig.expect('tmpfile', 1, u32(0o20200002, 0o600, 0, 0), text('/'));
    const node = Number(body.readBigUInt64LE(0));
    await rig.expect('link', 1, u64(node), text('named'));
    const found = await rig.expect('lookup', 1, text('named'));
    expect(Number(found.readBigUInt64LE(0))).toBe(node);
    expect(body.readUInt32LE(40 + 64)).toBe(0);
    expect(found.readUInt32LE(40 + 64)).toBe(1);
  });
});
