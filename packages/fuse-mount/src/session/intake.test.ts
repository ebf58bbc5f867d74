import { Errno } from '@mortar/core';
import { settle } from '@mortar/xlators/lib/translator-rig.ts';
import { describe, expect, it } from 'vitest';
import { opcodes } from '../protocol/index.ts';
import { mounted, text, u32, u64 } from './session-rig.ts';

/** A header that claims `claimed` bytes. */
function header(claimed: number, opcode: number): Buffer {
  const bytes = Buffer.from(new ArrayBuffer(64));
  bytes.writeUInt32LE(claimed, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeUInt32LE(6, 8);
  return bytes;
}

describe('requests that come in', () => {
  it('are counted by kind once their kind is known, those without an answer too', async () => {
    const { rig } = mounted();
    await rig.ask('getattr', 1, u32(0, 0), u64(0));
    await rig.ask('getattr', 1, u32(0, 0), u64(0));
    await rig.ask('read', 1, u32(1));
    await rig.ask(4000, 1);
    rig.send('forget', 1, u64(1));
    expect(rig.session.stats).toMatchObject({ requests: { getattr: 2, read: 1, forget: 1 }, malformed: 1 });
    expect(Object.keys(rig.session.stats.requests)).toHaveLength(3);
  });

  it('get EIO if their length is not what they say, and nothing if not even their number came', () => {
    const { rig } = mounted();
    expect(rig.session.receive(header(60, opcodes.statfs), 40)).toBe(false);
    expect(rig.channel.answers.map(({ unique, errno }) => [unique, errno])).toEqual([[6, Errno.EIO]]);
    expect(rig.session.receive(header(40, opcodes.statfs), 39)).toBe(false);
    expect(rig.channel.answers).toHaveLength(1);
    expect(rig.session.stats).toMatchObject({ malformed: 2, inFlight: 0 });
  });

  it('forget several nodes at once', async () => {
    const { rig } = mounted();
    const [a, b] = [await rig.create('a'), await rig.create('b')];
    const before = rig.session.stats.nodes;
    for (const { node, fh } of [a, b]) await rig.expect('release', node, u64(fh), u32(2, 0), u64(0));
    rig.send('batchForget', 0, u32(2, 0), u64(a.node, 1), u64(b.node, 1));
    await settle();
    expect(rig.session.stats.nodes).toBe(before - 2);
  });

  it.each([
    ['short', 0, []],
    ['long', 1 << 29, [0, 0]],
  ])('have a %s header of setxattr, as was agreed', async (_how, flags, more) => {
    const { rig } = mounted();
    await rig.expect('init', 0, u32(7, 33, 0, flags));
    const { node } = await rig.create('a');
    await rig.expect('setxattr', node, u32(5, 0, ...more), text('user.a'), Buffer.from('value'));
    expect((await rig.expect('getxattr', node, u32(99, 0), text('user.a'))).toString()).toBe('value');
  });
});
