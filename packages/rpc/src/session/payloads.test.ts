import {
  type Args,
  Errno,
  emptyIatt,
  Fd,
  type FopName,
  freshBytes,
  poisonReturnedBytes,
  type Reply,
  rootGfid,
} from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { settle, someCall } from '../test-rig.ts';
import { iatts, world } from './session-rig.ts';

describe('payloads at the brick', () => {
  const poison = 0xdb;
  const sizeBytes = 16384;

  afterEach(() => poisonReturnedBytes(false));

  /** Writes and reads once; what the brick's side then sees in what it got and gave. */
  async function seen(writes: boolean, reads: boolean, ok = true) {
    const { client, run } = await world({ server: { returns: () => ({ writes, reads }) } });
    const had: Uint8Array[] = [];
    run.now = async (fop, _call, args) => {
      if (fop === 'writev') had.push((args as Args<'writev'>).data);
      if (fop === 'readv') had.push(freshBytes(sizeBytes).fill(7));
      if (!ok) return { ok: false, errno: Errno.EIO };
      const reply = fop === 'readv' ? { data: had.at(-1), iatt: emptyIatt() } : iatts;
      return { ok: true, ...reply } as unknown as Reply<FopName>;
    };
    poisonReturnedBytes(true);
    const fd = new Fd(rootGfid, 2);
    await client.fop('writev', someCall, { fd, offset: 0, data: Buffer.alloc(sizeBytes, 5) });
    const reply = await client.fop('readv', someCall, { fd, offset: 0, size: sizeBytes });
    if (ok) expect(reply.ok && reply.data.every((byte) => byte === 7)).toBe(true);
    await settle();
    return had.map((bytes) => (bytes.every((byte) => byte === poison) ? 'again' : bytes[0]));
  }

  it('serve again once they were answered, and sent, where nobody keeps them', async () => {
    expect(await seen(true, true)).toEqual(['again', 'again']);
    expect(await seen(false, true)).toEqual([5, 'again']);
    expect(await seen(false, false)).toEqual([5, 7]);
    expect(await seen(true, true, false)).toEqual([5, 7]);
  });
});
