/** What NBD's commands ask of a device, and which of their flags are allowed. */
import { Errno } from '@mortar/core';
import { type Answer, type BlockDevice, type Done, refuse, type StatusReply } from '../device/device.ts';
import { Command, CommandFlag as Flag } from './constants.ts';
import type { Agreement } from './negotiation.ts';

/** Extents in one answer: the client asks on behind them. */
const extentsMax = 8192;

const allowedFlags: Readonly<Record<number, number>> = {
  [Command.READ]: Flag.FUA | Flag.DF,
  [Command.WRITE]: Flag.FUA,
  [Command.FLUSH]: Flag.FUA,
  [Command.TRIM]: Flag.FUA,
  [Command.CACHE]: Flag.FUA,
  [Command.WRITE_ZEROES]: Flag.FUA | Flag.NO_HOLE | Flag.FAST_ZERO,
  [Command.BLOCK_STATUS]: Flag.FUA | Flag.REQ_ONE,
  [Command.RESIZE]: Flag.FUA,
};

/** The errno for a command or flags that are not known or were not agreed on; 0 when there is nothing to object. */
export function objection({ structured, allocation }: Agreement, type: number, flags: number): Errno | 0 {
  const allowed = allowedFlags[type];
  if (allowed === undefined) return Errno.EINVAL;
  if ((flags & ~allowed) !== 0) return Errno.EINVAL;
  if ((flags & Flag.DF) !== 0 && !structured) return Errno.EINVAL;
  if (type === Command.BLOCK_STATUS && !allocation) return Errno.EINVAL;
  return 0;
}

/** Commands without a payload in either direction. */
export function perform(
  device: BlockDevice,
  mayResize: boolean,
  type: number,
  flags: number,
  offset: number,
  length: number,
): Answer<Done> {
  const fua = (flags & Flag.FUA) !== 0;
  switch (type) {
    case Command.FLUSH:
      return device.flush();
    case Command.TRIM:
      return device.trim(offset, length, fua);
    case Command.CACHE:
      return device.cache(offset, length);
    case Command.WRITE_ZEROES:
      return device.zero(offset, length, {
        mayTrim: (flags & Flag.NO_HOLE) === 0,
        fast: (flags & Flag.FAST_ZERO) !== 0,
        fua,
      });
    case Command.RESIZE:
      return mayResize ? device.resize(offset) : refuse(Errno.EPERM);
    default:
      return refuse(Errno.EINVAL);
  }
}

export function statusOf(device: BlockDevice, flags: number, offset: number, length: number): Answer<StatusReply> {
  return device.status(offset, length, (flags & Flag.REQ_ONE) !== 0 ? 1 : extentsMax);
}
