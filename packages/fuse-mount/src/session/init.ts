/** The kernel's first request: what both sides can do and want. */
import type { Log } from '@mortar/core';
import {
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
  const wishes = {
    maxWrite: options.maxWrite,
    maxReadahead: options.maxReadahead,
    maxBackground: options.maxBackground,
    congestionThreshold: options.congestionThreshold,
    timeGranularity: options.timeGranularityNs,
    writebackCache: options.writebackCache,
    readdirplus: options.readdirplus,
    autoInvalidation: options.autoInvalidation,
    acl: options.acl,
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
  return agreed;
}
