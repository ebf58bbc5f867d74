import { emptyIatt, FileType, type Gfid } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import {
  backingCloseRequest,
  backingMap,
  backingNumber,
  backingOpenRequest,
  InitFlag,
  InitFlag2,
  type InitWishes,
  negotiate,
  OpenReply,
  putInit,
  ReplyBuffer,
  validity,
} from './index.ts';

const wishes: InitWishes = {
  maxWrite: 1 << 20,
  maxReadahead: 1 << 20,
  maxBackground: 64,
  congestionThreshold: 48,
  timeGranularity: 1,
  writebackCache: false,
  readdirplus: true,
  autoInvalidation: true,
  acl: false,
};
/** A kernel that can do everything. */
const init = { major: 7, minor: 45, maxReadahead: 131072, flags: -1 >>> 0, flags2: -1 >>> 0 };

function agree(more: Partial<InitWishes> = {}, offer = init) {
  const given = { ...wishes, ...more };
  const agreed = negotiate(offer, given);
  if (!agreed || agreed === 'renegotiate') throw new Error('no agreement');
  const reply = new ReplyBuffer(4096);
  putInit(reply, 1, 0, agreed, given);
  // Behind the header of 16 bytes: flags2 and max_stack_depth of struct fuse_init_out.
  const [flags2, depth] = [reply.bytes.readUInt32LE(16 + 32), reply.bytes.readUInt32LE(16 + 36)];
  return { agreed: agreed.passthrough, asked: (flags2 & (1 << 5)) !== 0, depth };
}

describe('passthrough in INIT', () => {
  const none = { agreed: false, asked: false, depth: 0 };

  it('is not asked for, whatever the kernel offers', () => {
    expect(InitFlag2.passthrough).toBe(1 << 5);
    expect(agree()).toEqual(none);
  });

  it('is bit 37 and a depth where it is wanted', () => {
    expect(agree({ maxStackDepth: 1 })).toEqual({ agreed: true, asked: true, depth: 1 });
    expect(agree({ maxStackDepth: 2 })).toEqual({ agreed: true, asked: true, depth: 2 });
  });

  it('is not there in an older kernel, nor beside the writeback cache', () => {
    expect(agree({ maxStackDepth: 1 }, { ...init, flags2: 0x5fd & ~(1 << 5) })).toEqual(none);
    expect(agree({ maxStackDepth: 1 }, { ...init, flags: init.flags & ~InitFlag.initExtended })).toEqual(none);
    expect(agree({ maxStackDepth: 1, writebackCache: true })).toEqual(none);
  });
});

describe('the backing of an open', () => {
  const entry = {
    nodeId: 3,
    generation: 7,
    entryValid: validity(1),
    attrValid: validity(1),
    ino: { high: 0, low: 9 },
    iatt: emptyIatt('0f0e0d0c-0b0a-4908-8706-050403020100' as Gfid, FileType.regular),
  };

  it('stands in the last word of struct fuse_open_out', () => {
    expect(OpenReply.passthrough).toBe(0x80);
    const reply = new ReplyBuffer(4096);
    reply.opened(1, 0, 5, OpenReply.passthrough, 0x01020304);
    expect(reply.bytes.toString('hex', 16, reply.length)).toBe('05000000000000008000000004030201');
    reply.created(1, 0, entry, 5, OpenReply.passthrough, 6);
    expect(reply.bytes.toString('hex', 16 + 128, reply.length)).toBe('05000000000000008000000006000000');
    reply.opened(1, 0, 5, 0);
    expect(reply.bytes.toString('hex', 16, reply.length)).toBe('05000000000000000000000000000000');
  });

  it('is made known and taken back by ioctl', () => {
    /** _IOW of <asm-generic/ioctl.h>: direction, size, type, number. */
    const iow = (number: number, size: number) => (1 << 30) | (size << 16) | (229 << 8) | number;
    expect([backingOpenRequest, backingCloseRequest]).toEqual([iow(1, 16), iow(2, 4)]);
    expect(backingMap(0x0a0b).toString('hex')).toBe('0b0a0000000000000000000000000000');
    expect(backingNumber(0x0c0d).toString('hex')).toBe('0d0c0000');
  });
});
