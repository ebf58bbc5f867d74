/** INIT: which version and capabilities both sides speak. */
import { InitFlag, InitFlag2, oldestMinor, protocolMajor, protocolMinor } from './constants.ts';
import type { RequestOf } from './decode.ts';
import type { ReplyBuffer } from './reply.ts';

export interface InitWishes {
  /** Bytes; a multiple of the page size. */
  maxWrite: number;
  maxReadahead: number;
  maxBackground: number;
  congestionThreshold: number;
  /** Granularity of times in ns. */
  timeGranularity: number;
  writebackCache: boolean;
  readdirplus: boolean;
  autoInvalidation: boolean;
  acl: boolean;
  /**
   * Asks for passthrough, and says how high the mount then counts as stacked; two is the most there is. 1: the files that the
   * kernel reads itself must not lie on overlayfs; 2: they may, but overlayfs cannot lie on the mount. Absent: not asked for.
   */
  maxStackDepth?: 1 | 2;
  /** Capabilities in place of the usual ones of a file system: of what is none. */
  instead?: { flags: number; flags2: number };
}

export interface Negotiated {
  minor: number;
  flags: number;
  flags2: number;
  maxWrite: number;
  maxReadahead: number;
  setxattrExtended: boolean;
  dontMask: boolean;
  writebackCache: boolean;
  passthrough: boolean;
  /** What is opened past the page cache may be mapped all the same. */
  directIoAllowMmap: boolean;
}

const always =
  InitFlag.asyncRead |
  InitFlag.posixLocks |
  InitFlag.atomicTruncate |
  InitFlag.bigWrites |
  InitFlag.flockLocks |
  InitFlag.asyncDirectIo |
  InitFlag.parallelDirectoryOperations |
  InitFlag.abortError |
  InitFlag.maxPages |
  InitFlag.cacheSymlinks |
  InitFlag.handleKillPrivilegesV2 |
  InitFlag.setxattrExtended |
  InitFlag.initExtended;

const always2 = InitFlag2.hasExpireOnly | InitFlag2.directIoAllowMmap;

/** `'renegotiate'`: the kernel is newer by a major version and asks again; undefined: nothing in common. */
export function negotiate(init: RequestOf<'init'>, wishes: InitWishes): Negotiated | 'renegotiate' | undefined {
  if (init.major > protocolMajor) return 'renegotiate';
  if (init.major < protocolMajor || init.minor < oldestMinor) return undefined;
  let wanted: number = wishes.instead?.flags ?? always;
  if (wishes.autoInvalidation) wanted |= InitFlag.autoInvalidateData;
  if (wishes.readdirplus) wanted |= InitFlag.readdirplus | InitFlag.readdirplusAuto;
  if (wishes.writebackCache) wanted |= InitFlag.writebackCache;
  if (wishes.acl) wanted |= InitFlag.posixAcl | InitFlag.dontMask;
  const flags = init.flags & wanted;
  const extended = (flags & InitFlag.initExtended) !== 0;
  const writebackCache = (flags & InitFlag.writebackCache) !== 0;
  let wanted2: number = wishes.instead?.flags2 ?? always2;
  // The kernel does not do both.
  if (wishes.maxStackDepth && !writebackCache) wanted2 |= InitFlag2.passthrough;
  const flags2 = extended ? init.flags2 & wanted2 : 0;
  return {
    minor: Math.min(init.minor, protocolMinor),
    flags,
    flags2,
    maxWrite: (flags & InitFlag.maxPages) !== 0 ? wishes.maxWrite : Math.min(wishes.maxWrite, 32 * 4096),
    maxReadahead: Math.min(init.maxReadahead, wishes.maxReadahead),
    setxattrExtended: (flags & InitFlag.setxattrExtended) !== 0,
    dontMask: (flags & InitFlag.dontMask) !== 0,
    writebackCache,
    passthrough: (flags2 & InitFlag2.passthrough) !== 0,
    directIoAllowMmap: (flags2 & InitFlag2.directIoAllowMmap) !== 0,
  };
}

const initOutBytes = 64;

export function putInit(
  reply: ReplyBuffer,
  uniqueLow: number,
  uniqueHigh: number,
  agreed: Negotiated,
  wishes: InitWishes,
): void {
  reply.begin(uniqueLow, uniqueHigh, initOutBytes);
  reply.words.fill(0, 4, 4 + initOutBytes / 4);
  reply.u32(0, protocolMajor);
  reply.u32(1, agreed.minor);
  reply.u32(2, agreed.maxReadahead);
  reply.u32(3, agreed.flags);
  reply.u32(4, (wishes.congestionThreshold << 16) | wishes.maxBackground);
  reply.u32(5, agreed.maxWrite);
  reply.u32(6, wishes.timeGranularity);
  reply.u32(7, Math.ceil(agreed.maxWrite / 4096));
  reply.u32(8, agreed.flags2);
  if (agreed.passthrough) reply.u32(9, wishes.maxStackDepth ?? 0);
}

/** The reply that makes a newer kernel ask again with our major version. */
export function putMajorOnly(reply: ReplyBuffer, uniqueLow: number, uniqueHigh: number): void {
  reply.begin(uniqueLow, uniqueHigh, initOutBytes);
  reply.words.fill(0, 4, 4 + initOutBytes / 4);
  reply.u32(0, protocolMajor);
  reply.u32(1, protocolMinor);
}
