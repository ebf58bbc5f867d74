/** What bricks and servers of block devices agree on (docs/block.md). */
import type { ByteString, Xattrs } from '@mortar/core';

/** On a device's directory: the epoch of the attachment that has it, 8 bytes big-endian. Absent: nobody ever had it. */
export const blockEpochXattr: ByteString = 'trusted.mortar.block.epoch';

/** Names of a device's xattrs begin so. */
export const blockXattrPrefix = 'trusted.mortar.block.';
/** On the same: who has it, as long as somebody has. */
export const blockHolderXattr: ByteString = `${blockXattrPrefix}holder`;
/** In the root of a volume: the directory of all devices. */
export const blockDirectory = '.block';

export function encodeEpoch(epoch: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(epoch));
  return bytes;
}

/** 0 where there is none, or what is there is no epoch. */
export function epochOf(xattrs: Xattrs): number {
  const value = xattrs[blockEpochXattr];
  if (value?.length !== 8) return 0;
  const epoch = Buffer.from(value.buffer, value.byteOffset, 8).readBigUInt64BE();
  return epoch <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(epoch) : 0;
}

/**
 * The next epoch. Its upper part counts attachments, its lower 24 bits are drawn: two that count up from the same number
 * do not take each other's attachment for their own.
 */
export function nextEpoch(epoch: number, drawn: number): number {
  return (Math.floor(epoch / drawnRange) + 1) * drawnRange + drawn;
}

export const drawnRange = 2 ** 24;

/** Asked of a file with getxattr: replicas that a client left in the middle of a change are made alike first. */
export const settleXattr: ByteString = 'replica.settle';
export const settledText = 'settled';
