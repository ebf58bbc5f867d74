import { Errno } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  exportNameReply,
  greeting,
  nbdError,
  optionReply,
  putExtendedHeader,
  putSimpleReply,
  putStructuredHeader,
  RequestHeader,
  readContextRequest,
  readInfoRequest,
  readRequest,
} from './codec.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const cookie = { cookieHigh: 0x01020304, cookieLow: 0xfffefdfc };

describe('requests', () => {
  it('are read in the compact form', () => {
    const into = new RequestHeader();
    const bytes = hex('00 25609513 0001 0001 01020304fffefdfc 0000000200001000 00002000');
    expect(readRequest(bytes, 1, false, into)).toBe(true);
    expect(into).toEqual({ flags: 1, type: 1, ...cookie, offset: 2 ** 33 + 4096, length: 8192 });
  });

  it('are read in the extended form, with 64 bits of length', () => {
    const into = new RequestHeader();
    const bytes = hex('21e41c71 0020 0006 01020304fffefdfc 0000000000000200 0000010000000000');
    expect(readRequest(bytes, 0, true, into)).toBe(true);
    expect(into).toEqual({ flags: 32, type: 6, ...cookie, offset: 512, length: 2 ** 40 });
  });

  it('are refused with another magic, also with that of the other form', () => {
    const bytes = hex('25609513 0001 0001 01020304fffefdfc 0000000200001000 0000000000002000');
    expect(readRequest(bytes, 0, true, new RequestHeader())).toBe(false);
    expect(readRequest(Buffer.alloc(32), 0, false, new RequestHeader())).toBe(false);
  });
});

describe('replies', () => {
  it('are written in the three forms', () => {
    const bytes = Buffer.alloc(32);
    putSimpleReply(bytes, 0, 28, cookie);
    expect(bytes.subarray(0, 16)).toEqual(hex('67446698 0000001c 01020304fffefdfc'));
    putStructuredHeader(bytes, 0, 1, 5, cookie, 12);
    expect(bytes.subarray(0, 20)).toEqual(hex('668e33ef 0001 0005 01020304fffefdfc 0000000c'));
    putExtendedHeader(bytes, 0, 1, 0x8001, cookie, 2 ** 40 + 1, 6);
    expect(bytes).toEqual(hex('6e8a278c 0001 8001 01020304fffefdfc 0000010000000001 0000000000000006'));
  });

  it('of options carry their option, type and data', () => {
    expect(optionReply(7, 2 ** 31 + 6, Buffer.from('no'))).toEqual(
      hex('0003e889045565a9 00000007 80000006 00000002 6e6f'),
    );
    expect(greeting(3)).toEqual(hex('4e42444d41474943 49484156454f5054 0003'));
    expect(exportNameReply(2 ** 32, 0x55, false)).toEqual(hex('0000000100000000 0055'));
    expect(exportNameReply(1, 1, true).length).toBe(134);
  });

  it('have only errors that the protocol knows', () => {
    const known = [1, 5, 12, 22, 28, 75, 95, 108];
    for (const errno of Object.values(Errno)) expect(known).toContain(nbdError(errno));
    expect([nbdError(Errno.EROFS), nbdError(Errno.EDQUOT), nbdError(Errno.ENOTCONN)]).toEqual([1, 28, 5]);
  });
});

describe('data of options', () => {
  it('is read when it is exactly as long as it says', () => {
    const info = hex('00000003 766f6c 0002 0003 0001');
    expect(readInfoRequest(info)).toEqual({ name: 'vol', wanted: new Set([3, 1]) });
    const contexts = hex('00000003 766f6c 00000001 0000000f 626173653a616c6c6f636174696f6e');
    expect(readContextRequest(contexts)).toEqual({ name: 'vol', queries: ['base:allocation'] });
    for (const [read, bytes] of [
      [readInfoRequest, info],
      [readContextRequest, contexts],
    ] as const) {
      for (let length = 0; length < bytes.length; length++) expect(read(bytes.subarray(0, length))).toBe(null);
      expect(read(Buffer.concat([bytes, Buffer.alloc(1)]))).toBe(null);
    }
  });

  it('of any kind does no harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        readInfoRequest(Buffer.from(bytes));
        readContextRequest(Buffer.from(bytes));
      }),
    );
  });
});
