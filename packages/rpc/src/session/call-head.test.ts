import type { Call } from '@mortar/core/call.ts';
import type { Gfid } from '@mortar/core/gfid.ts';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';
import { readCallHead, writeCallHead } from './call-head.ts';

const call: Call = {
  uid: 1,
  gid: 2,
  groups: [3],
  pid: 4,
  lockOwner: 'ab',
  clientId: 'c',
  time: { sec: 5, nsec: 6 },
};
const device = '0d0d0d0d-0000-4000-8000-00000000000d' as Gfid;

function bytesOf(given: Call): Buffer {
  const out = new ByteWriter();
  writeCallHead(out, given, 0);
  return Buffer.from(out.buffer.subarray(0, out.position));
}

describe('the head of a call', () => {
  it('carries in whose name a device is used', () => {
    for (const attachment of [
      { device, epoch: 2 ** 53 - 1 },
      { device, epoch: 1, isRaising: true },
    ]) {
      const given: Call = { ...call, attachment, internal: 'self-heal', deadlineMs: 10 };
      expect(readCallHead(new ByteReader(bytesOf(given)), 'c', 0)).toEqual(given);
    }
    expect(readCallHead(new ByteReader(bytesOf(call)), 'c', 0)).toEqual(call);
  });

  it('is refused with flags that are not known, or with a raise by nobody', () => {
    const bytes = bytesOf(call);
    for (const flags of [8, 16, 0x80]) {
      bytes[0] = flags;
      expect(() => readCallHead(new ByteReader(bytes), 'c', 0)).toThrow('unknown flags');
    }
    const none = bytesOf({ ...call, attachment: { device, epoch: 0 } });
    expect(() => readCallHead(new ByteReader(none), 'c', 0)).toThrow('without an epoch');
  });
});
