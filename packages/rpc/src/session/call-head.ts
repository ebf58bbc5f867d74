/** Who asks, in front of the arguments of every fop. */
import type { Attachment, Call, InternalClient } from '@mortar/core/call.ts';
import type { ByteReader } from '../byte-reader.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { readTimespec, writeTimespec } from '../codec/structures.ts';
import { FrameError } from '../frame.ts';

const hasDeadline = 1;
const isInternal = 2;
const isAttached = 4;
const isRaising = 8;
const flagsKnown = 15;

const internals: readonly InternalClient[] = ['self-heal', 'rebalance', 'quota', 'bitrot', 'glfs-heal', 'mount-helper'];
/** GlusterFS's limit of 1024 bytes, as hex text. */
const lockOwnerMax = 2048;
const hex = /^(?:[0-9a-f]{2})*$/;

export function writeCallHead(out: ByteWriter, call: Call, nowMs: number): void {
  const { deadlineMs, internal, attachment, groups } = call;
  const attached = attachment === undefined ? 0 : attachment.isRaising ? isAttached | isRaising : isAttached;
  out.u8((deadlineMs === undefined ? 0 : hasDeadline) | (internal === undefined ? 0 : isInternal) | attached);
  out.u32(call.uid);
  out.u32(call.gid);
  out.i32(call.pid);
  writeTimespec(out, call.time);
  out.latin1(call.lockOwner);
  if (groups.length > 0xffff) throw new RangeError(`${groups.length} groups`);
  out.u16(groups.length);
  for (const group of groups) out.u32(group);
  if (deadlineMs !== undefined) out.u32(Math.min(0xffff_ffff, Math.max(0, Math.ceil(deadlineMs - nowMs))));
  if (internal !== undefined) out.u8(internals.indexOf(internal));
  if (attachment !== undefined) {
    out.gfid(attachment.device);
    out.u64(attachment.epoch);
  }
}

const noGroups: readonly number[] = [];

/** The call on the serving side: deadline on its own clock, client id of the session. */
export function readCallHead(input: ByteReader, clientId: string, nowMs: number): Call {
  const flags = input.u8();
  if (flags > flagsKnown || (flags & (isAttached | isRaising)) === isRaising)
    throw new FrameError('decode', `unknown flags of a call 0x${flags.toString(16)}`);
  const call: Call = {
    uid: input.u32(),
    gid: input.u32(),
    pid: input.i32(),
    time: readTimespec(input),
    lockOwner: readLockOwner(input),
    groups: readGroups(input),
    clientId,
  };
  if (flags & hasDeadline) call.deadlineMs = nowMs + input.u32();
  if (flags & isInternal) {
    const internal = internals[input.u8()];
    if (!internal) throw new FrameError('decode', 'an unknown internal client');
    call.internal = internal;
  }
  if (flags & isAttached) call.attachment = readAttachment(input, (flags & isRaising) !== 0);
  return call;
}

function readAttachment(input: ByteReader, isRaising: boolean): Attachment {
  const device = input.gfid();
  const epoch = input.u64();
  if (epoch === 0) throw new FrameError('decode', 'an attachment without an epoch');
  return isRaising ? { device, epoch, isRaising } : { device, epoch };
}

function readLockOwner(input: ByteReader): string {
  const owner = input.latin1();
  if (owner.length > lockOwnerMax || !hex.test(owner))
    throw new FrameError('decode', 'a lock owner that is no hex text');
  return owner;
}

function readGroups(input: ByteReader): readonly number[] {
  const count = input.u16();
  if (count === 0) return noGroups;
  const groups: number[] = [];
  for (let i = 0; i < count; i++) groups.push(input.u32());
  return groups;
}
