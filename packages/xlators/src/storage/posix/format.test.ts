import { readFileSync } from 'node:fs';
import { gfidFromBytes } from '@mortar/core';
import { entryName } from '@mortar/testing/arbitraries.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inheritAcl } from './acl.ts';
import { parsePathRecord, pathRecord } from './gfid2path.ts';
import { directoryTarget, parseTarget } from './handle.ts';
import { healthStamp } from './health.ts';
import { adler32 } from './io.ts';
import { allTimes, decodeMdata, encodeMdata, raiseTimes } from './mdata.ts';
import { combine } from './xattrop.ts';

function fixture<T>(name: string): T {
  const path = new URL(`../../../../../test/fixtures/posix/${name}`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

const anyGfid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => gfidFromBytes(bytes));

describe('gfid2path', () => {
  it('names and fills its records as real bricks do', () => {
    const { samples } = fixture<{ samples: { value_hex: string; xattr: string }[] }>('gfid2path.json');
    expect(samples.length).toBeGreaterThan(100);
    for (const { value_hex, xattr } of samples) {
      const value = Buffer.from(value_hex, 'hex');
      const parsed = parsePathRecord(value)!;
      const record = pathRecord(parsed.parent, parsed.name);
      expect(record.xattr).toBe(xattr);
      expect(Buffer.from(record.value).toString('hex')).toBe(value_hex);
    }
  });

  it('gives back any parent and name', () => {
    fc.assert(
      fc.property(anyGfid, entryName, (parent, name) => {
        expect(parsePathRecord(pathRecord(parent, name).value)).toEqual({ parent, name });
      }),
    );
  });
});

describe('mdata', () => {
  interface Sample {
    hex: string;
    ctime: [number, number];
    mtime: [number, number];
    atime: [number, number];
  }

  it('is what real bricks hold', () => {
    const { samples } = fixture<{ samples: Sample[] }>('mdata.json');
    for (const { hex, ctime, mtime, atime } of samples) {
      const times = decodeMdata(Buffer.from(hex, 'hex'))!;
      expect([times.ctime, times.ctimeNsec]).toEqual(ctime);
      expect([times.mtime, times.mtimeNsec]).toEqual(mtime);
      expect([times.atime, times.atimeNsec]).toEqual(atime);
      expect(Buffer.from(encodeMdata(times)).toString('hex')).toBe(hex);
    }
  });

  it('keeps times before 1970', () => {
    const times = allTimes({ sec: -1, nsec: 5 });
    expect(decodeMdata(encodeMdata(times))).toEqual(times);
    expect(Buffer.from(encodeMdata(times)).toString('hex')).toContain('ffffffffffffffff0000000000000005');
  });

  it('refuses other versions and lengths', () => {
    expect(decodeMdata(new Uint8Array(57))).toBeNull();
    expect(decodeMdata(Uint8Array.from([1]))).toBeNull();
  });

  it('moves forward only', () => {
    const times = allTimes({ sec: 10, nsec: 5 });
    expect(raiseTimes(times, { sec: 10, nsec: 4 }, true)).toBe(false);
    expect(raiseTimes(times, { sec: 10, nsec: 6 }, false)).toBe(true);
    expect([times.ctimeNsec, times.mtimeNsec, times.atimeNsec]).toEqual([6, 5, 5]);
  });
});

describe('directory handles', () => {
  it('give back any parent and name', () => {
    fc.assert(
      fc.property(anyGfid, entryName, (parent, name) => {
        expect(parseTarget(directoryTarget(parent, name))).toEqual({ parent, name });
      }),
    );
  });

  it('are told from other symlinks', () => {
    for (const target of ['../../..', 'x', '', '../../00/00/00000000-0000-0000-0000-000000000001', '/'])
      expect(parseTarget(target)).toBeNull();
    expect(parseTarget('../../00/01/00000000-0000-0000-0000-000000000001/x')).toBeNull();
  });
});

describe('the default ACL of a directory', () => {
  const acl = (...entries: [number, number, number][]) => {
    const bytes = Buffer.alloc(4 + 8 * entries.length);
    bytes.writeUInt32LE(2);
    entries.forEach(([tag, perm, id], i) => {
      bytes.writeUInt16LE(tag, 4 + 8 * i);
      bytes.writeUInt16LE(perm, 6 + 8 * i);
      bytes.writeUInt32LE(id, 8 + 8 * i);
    });
    return new Uint8Array(bytes);
  };
  const none = 0xffffffff;

  it('limits the mode, and the mode it', () => {
    const found = inheritAcl(acl([1, 7, none], [2, 6, 1234], [4, 5, none], [16, 7, none], [32, 5, none]), 0o4664)!;
    expect(found.mode).toBe(0o4664);
    expect(found.acl).toEqual(acl([1, 6, none], [2, 6, 1234], [4, 5, none], [16, 6, none], [32, 4, none]));
  });

  it('of three entries is the mode alone', () => {
    expect(inheritAcl(acl([1, 7, none], [4, 5, none], [32, 0, none]), 0o666)).toEqual({ mode: 0o640, acl: null });
  });

  it('is ignored when it is none', () => {
    expect(inheritAcl(new Uint8Array(7), 0o644)).toBeNull();
  });
});

describe('xattrop', () => {
  it('adds 32 and 64 bit numbers with wrap-around, and ors', () => {
    const hex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'));
    expect(combine('add32', hex('00000001ffffffff'), hex('0000000200000001'))).toEqual(hex('0000000300000000'));
    expect(combine('add32', hex(''), hex('ffffffff'))).toEqual(hex('ffffffff'));
    expect(combine('add64', hex('00000000ffffffff'), hex('0000000000000001'))).toEqual(hex('0000000100000000'));
    expect(combine('or', hex('0f00'), hex('f0'))).toEqual(hex('ff00'));
  });
});

describe('checksums and stamps', () => {
  it('are the known ones', () => {
    expect(adler32(Buffer.from('Wikipedia'))).toBe(0x11e60398);
    expect(adler32(new Uint8Array(100_000).fill(255))).toBe(adlerByDefinition(new Uint8Array(100_000).fill(255)));
    expect(healthStamp(1795207856)).toBe('2026-11-20 20:50:56 +0000');
  });
});

function adlerByDefinition(bytes: Uint8Array): number {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return b * 65536 + a;
}
