/** What the kernel and the one who answers its requests agree on with INIT. */
import { InitFlag, InitFlag2 } from '@mortar/fuse-mount/protocol/constants.ts';
import { decoders } from '@mortar/fuse-mount/protocol/decode.ts';
import { type InitWishes, negotiate, putInit, putMajorOnly } from '@mortar/fuse-mount/protocol/init.ts';
import type { ReplyBuffer } from '@mortar/fuse-mount/protocol/reply.ts';
import type { RequestView } from '@mortar/fuse-mount/protocol/request.ts';

/** What the kernel and the one who had the descriptor first have agreed on; whoever takes it over goes on with it. */
export interface Agreed {
  readonly maxWrite: number;
  /** Requests that were taken and not answered can be had again. */
  readonly canResend: boolean;
}

/** A loop device has 128 requests under way: more than the default of 12 is needed, and that they do not wait for each other. */
export const wishes: InitWishes = {
  maxWrite: 1024 * 1024,
  maxReadahead: 1024 * 1024,
  maxBackground: 512,
  congestionThreshold: 384,
  timeGranularity: 1,
  writebackCache: false,
  readdirplus: false,
  autoInvalidation: false,
  acl: false,
  instead: {
    flags:
      InitFlag.asyncRead |
      InitFlag.asyncDirectIo |
      InitFlag.bigWrites |
      InitFlag.abortError |
      InitFlag.maxPages |
      InitFlag.initExtended,
    flags2: InitFlag2.hasResend,
  },
};

/** Puts the answer to the INIT in `view` into `reply`. Null: the kernel's FUSE does not fit, and nothing was put. */
export function agree(view: RequestView, reply: ReplyBuffer): Agreed | 'renegotiate' | null {
  const { uniqueLow, uniqueHigh } = view;
  const args = decoders.init(view);
  const agreed = args && negotiate(args, wishes);
  if (!agreed) return null;
  if (agreed === 'renegotiate') {
    putMajorOnly(reply, uniqueLow, uniqueHigh);
    return agreed;
  }
  if ((agreed.flags & InitFlag.asyncDirectIo) === 0) return null;
  putInit(reply, uniqueLow, uniqueHigh, agreed, wishes);
  return { maxWrite: agreed.maxWrite, canResend: (agreed.flags2 & InitFlag2.hasResend) !== 0 };
}
