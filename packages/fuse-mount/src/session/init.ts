/** The kernel's first request: what both sides can do and want. */
import type { Log } from '@mortar/core';
import {
  type InitWishes,
  type Negotiated,
  negotiate,
  putInit,
  putMajorOnly,
  type ReplyBuffer,
  type RequestOf,
} from '../protocol/index.ts';
import type { SessionOptions } from './options.ts';

/** Null: the kernel says INIT once more, in our version. Undefined: the two do not fit, nothing was put into the reply. */
export function agreeOn(
  init: RequestOf<'init'>,
  unique: { readonly uniqueLow: number; readonly uniqueHigh: number },
  options: SessionOptions,
  reply: ReplyBuffer,
  log: Log,
): Negotiated | null | undefined {
  const { uniqueLow, uniqueHigh } = unique;
  const wishes: InitWishes = {
    maxWrite: options.maxWrite,
    maxReadahead: options.maxReadahead,
    maxBackground: options.maxBackground,
    congestionThreshold: options.congestionThreshold,
    timeGranularity: options.timeGranularityNs,
    writebackCache: options.writebackCache,
    readdirplus: options.readdirplus,
    autoInvalidation: options.autoInvalidation,
    acl: options.acl,
    // Not 2: containers lay overlayfs on mounts, and bricks rarely lie on it.
    ...(options.backings ? { maxStackDepth: 1 } : {}),
  };
  const agreed = negotiate(init, wishes);
  if (agreed === undefined) {
    const { major, minor } = init;
    log.write('ERROR', 'fuse', `the kernel speaks FUSE ${major}.${minor}; 7.31 or newer is needed (Linux 5.4)`);
    return undefined;
  }
  if (agreed === 'renegotiate') {
    putMajorOnly(reply, uniqueLow, uniqueHigh);
    return null;
  }
  putInit(reply, uniqueLow, uniqueHigh, agreed, wishes);
  if (options.backings && !agreed.passthrough)
    log.write(
      'WARNING',
      'fuse',
      'the kernel reads no files of bricks itself: that needs Linux 6.9 and a mount without writeback cache; reads are requests',
    );
  return agreed;
}
