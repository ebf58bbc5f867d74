/** Whose the memory of a payload is (docs/payloads.md), as the session keeps it. */
import {
  Errno,
  emptyIatt,
  fail,
  freshBytes,
  InodeTable,
  type Keeps,
  loseBytes,
  poisonReturnedBytes,
  retainBytes,
  returnBytes,
  type Services,
  type Subvolume,
} from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { memory, SessionRig } from './session-rig.ts';

const services = (): Services => ({
  clock: new SystemClock(),
  random: new SystemRandom(),
  log: { level: 'INFO', setLevel: () => {}, write: () => {} },
  metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
  inodes: new InodeTable(),
  port: (name) => {
    throw new Error(`no port ${name}`);
  },
});

async function mounted(keeps: Keeps, over: Partial<Subvolume> = {}) {
  const given = services();
  const storage = memory(given);
  storage.keeps = keeps;
  const seen: Uint8Array[] = [];
  const { ops } = storage;
  const writev: Subvolume['writev'] = (call, args) => {
    seen.push(args.data);
    return ops.writev(call, args);
  };
  const rig = new SessionRig(given, {}, { ...ops, writev, ...over });
  const { node, fh } = await rig.create('a');
  return { rig, node, fh, seen };
}

afterEach(() => poisonReturnedBytes(false));

describe('the payload of a write', () => {
  it('stays where it was received if nobody keeps it, until it is answered', async () => {
    const { rig, node, fh, seen } = await mounted('nothing');
    expect((await rig.write(fh, node, 'abc')).errno).toBe(0);
    const { buffersDone } = rig.channel;
    expect(buffersDone).toHaveLength(1);
    expect(buffersDone[0]!.reusable).toBe(true);
    expect(seen[0]!.buffer).toBe(buffersDone[0]!.bytes.buffer);
  });

  it('is not given back before the answer', async () => {
    let release = () => {};
    const writev: Subvolume['writev'] = async () => {
      await new Promise<void>((resolve) => (release = resolve));
      return fail(Errno.EIO);
    };
    const { rig, node, fh } = await mounted('nothing', { writev });
    const answered = rig.write(fh, node, 'abc');
    await new Promise((resolve) => setImmediate(resolve));
    expect(rig.channel.buffersDone).toHaveLength(0);
    release();
    expect((await answered).errno).toBe(Errno.EIO);
    // After an error it may still be on its way somewhere.
    expect(rig.channel.buffersDone.map(({ reusable }) => reusable)).toEqual([false]);
  });

  it('comes back with the last who said that he uses it on', async () => {
    const used: Uint8Array[] = [];
    const writev: Subvolume['writev'] = async (_call, { fd, data }) => {
      retainBytes(data);
      used.push(data);
      return { ok: true, written: data.length, pre: emptyIatt(fd.gfid), post: emptyIatt(fd.gfid) };
    };
    const { rig, node, fh } = await mounted('retained', { writev });
    for (const text of ['abc', 'def']) expect((await rig.write(fh, node, text)).errno).toBe(0);
    expect(rig.channel.buffersDone).toHaveLength(0);
    returnBytes(used[0]!);
    loseBytes(used[1]!);
    expect(rig.channel.buffersDone.map(({ reusable }) => reusable)).toEqual([true, false]);
    returnBytes(used[1]!);
    expect(rig.channel.buffersDone).toHaveLength(2);
  });

  it.each(['writes', 'all'] as const)('is a copy if a translator keeps %s', async (keeps) => {
    const { rig, node, fh, seen } = await mounted(keeps);
    await rig.write(fh, node, 'abc');
    expect(rig.channel.buffersDone).toHaveLength(0);
    expect(Buffer.from(seen[0]!).toString()).toBe('abc');
  });

  it('stays if it is large, and its buffer does not serve again if a translator keeps it', async () => {
    const { rig, node, fh } = await mounted('writes');
    await rig.write(fh, node, 'x'.repeat(256 * 1024));
    expect(rig.channel.buffersDone.map(({ reusable }) => reusable)).toEqual([false]);
  });

  it('is a copy when too many buffers are out', async () => {
    const { rig, node, fh, seen } = await mounted('nothing');
    rig.channel.spareBuffers = false;
    await rig.write(fh, node, 'abc');
    expect(rig.channel.buffersDone).toHaveLength(0);
    expect(Buffer.from(seen[0]!).toString()).toBe('abc');
  });
});

describe('the data of a read', () => {
  const reading = (bytes: Buffer): Partial<Subvolume> => ({
    readv: async (_call, { fd }) => ({ ok: true, data: bytes, iatt: emptyIatt(fd.gfid) }),
  });
  it.each([
    ['nothing', true],
    ['writes', true],
    ['all', false],
  ] as const)('serves again when it was sent and the graph keeps %s: %s', async (keeps, again) => {
    poisonReturnedBytes(true);
    const bytes = freshBytes(4096).fill(7);
    const { rig, node, fh } = await mounted(keeps, reading(bytes));
    const { errno, body } = await rig.read(fh, node);
    expect([errno, body.every((byte) => byte === 7)]).toEqual([0, true]);
    expect(bytes.every((byte) => byte === 0xdb)).toBe(again);
  });
});
