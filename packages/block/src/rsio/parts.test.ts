import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clientProof, isSameProof, serverProof } from './authentication.ts';
import { crc32c } from './crc32c.ts';
import { decodeMessage, hello, open } from './messages.ts';
import { decodeExtents, encodeExtents } from './status.ts';
import { TagWindow, windowTags } from './tag-window.ts';

describe('CRC-32C', () => {
  it('is that of RFC 3720', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  it('goes on from a part', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
        expect(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at)))).toBe(crc32c(bytes));
      }),
    );
  });
});

describe('the window of tags', () => {
  it('does a request once, and nothing that is too late', () => {
    const window = new TagWindow();
    expect(window.meet(1)).toBe('new');
    expect(window.meet(1)).toBe('running');
    window.finish(1, 28);
    expect(window.meet(1)).toBe('done');
    expect(window.errnoOf(1)).toBe(28);
    expect(window.meet(windowTags)).toBe('new');
    expect(window.meet(1)).toBe('done');
    expect(window.meet(windowTags + 1)).toBe('new');
    expect(window.meet(1)).toBe('late');
    expect(window.meet(2)).toBe('new');
  });

  it('goes on behind the largest tag', () => {
    const window = new TagWindow();
    for (const tag of [0x7fff_fff0, 0xffff_ffe0, 0xffff_ffff, 1]) expect(window.meet(tag)).toBe('new');
    expect(window.meet(0xffff_ffff)).toBe('running');
    expect(window.meet(0xffff_ffe0)).toBe('running');
    expect(window.meet(0xffff_0000)).toBe('late');
  });

  it.each([1, 4097, 2 ** 31 - 1, 2 ** 31, 3_000_000_000, 0xffff_ffff])('begins at any tag: %i', (tag) => {
    const window = new TagWindow();
    expect(window.meet(tag)).toBe('new');
    expect(window.meet(tag)).toBe('running');
    // Another path was slower.
    if (tag > 1) expect(window.meet(tag - 1)).toBe('new');
    if (tag > windowTags) expect(window.meet(tag - windowTags)).toBe('late');
  });

  it('moves with what changes nothing, too', () => {
    const window = new TagWindow();
    expect(window.meet(1)).toBe('new');
    for (let tag = 1; tag < 2 ** 32; tag += 2 ** 30) window.see(tag);
    expect(window.meet(0xf000_0000)).toBe('new');
  });

  it('is a set, for whoever keeps to the window', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(300), { maxLength: 400 }),
        fc.integer({ min: 1, max: 2 ** 31 - 400 }),
        (all, base) => {
          const window = new TagWindow();
          const seen = new Set<number>();
          window.meet(base);
          seen.add(base);
          for (const one of all) {
            expect(window.meet(base + one) === 'new').toBe(!seen.has(base + one));
            seen.add(base + one);
          }
        },
      ),
    );
  });
});

describe('control messages', () => {
  it('are refused when they are anything else', () => {
    const good = { version: 1, namespace: 'osl', client: 'big-2', nonce: 'ab'.repeat(16) };
    expect(decodeMessage(hello, Buffer.from(JSON.stringify(good)))).toEqual(good);
    for (const bad of [{}, { ...good, more: 1 }, { ...good, client: '../x' }, { ...good, nonce: 'zz' }, [good], null])
      expect(decodeMessage(hello, Buffer.from(JSON.stringify(bad)))).toBeNull();
    expect(decodeMessage(open, Buffer.from('{'))).toBeNull();
    expect(decodeMessage(open, Buffer.alloc(100_000, 0x20))).toBeNull();
    fc.assert(fc.property(fc.uint8Array(), (bytes) => void decodeMessage(open, bytes)));
  });

  it('prove a key without telling it', () => {
    const asked = { version: 1, namespace: '', client: 'big-2', nonce: 'aa' };
    const told = { version: 1, namespace: 'osl', namespaceId: 1, server: 's', serverId: 1, nonce: 'bb' };
    const joining = { session: '', path: 0, generation: 1, checked: false };
    const proof = clientProof('key', asked, told, joining);
    expect(isSameProof(proof, clientProof('key', asked, told, joining))).toBe(true);
    const others = [
      clientProof('other', asked, told, joining),
      clientProof('key', { ...asked, nonce: 'ab' }, told, joining),
      clientProof('key', asked, { ...told, nonce: 'bc' }, joining),
      clientProof('key', asked, told, { ...joining, session: 'cc' }),
      serverProof('key', asked, told, joining),
      '',
    ];
    for (const other of others) expect(isSameProof(proof, other)).toBe(false);
  });
});

describe('extents on the wire', () => {
  it('come back, or are refused', () => {
    const extents = [
      { length: 2 ** 45, hole: true, zero: true },
      { length: 1, hole: false, zero: false },
    ];
    expect(decodeExtents(encodeExtents(extents), 2 ** 46)).toEqual(extents);
    expect(decodeExtents(encodeExtents(extents), 2 ** 45)).toBeNull();
    expect(decodeExtents(Buffer.alloc(12), 10)).toBeNull();
    expect(decodeExtents(Buffer.alloc(11), 10)).toBeNull();
  });
});
