/** What the kernel asks of the file that a device is, besides its contents. All of it is answered at once. */
import { Errno, emptyIatt, FileType, rootGfid } from '@mortar/core';
import { AttrValid, OpenFlag, OpenReply, rootNodeId } from '@mortar/fuse-mount/protocol/constants.ts';
import { decoders } from '@mortar/fuse-mount/protocol/decode.ts';
import { type ReplyBuffer, validity } from '@mortar/fuse-mount/protocol/reply.ts';
import type { RequestView } from '@mortar/fuse-mount/protocol/request.ts';

export interface FileFacts {
  /** The request. */
  readonly view: RequestView;
  readonly reply: ReplyBuffer;
  /** Bytes. */
  size(): number;
  readonly readOnly: boolean;
  /** Sends what is in `reply`. */
  send(): void;
  refuse(errno: Errno): void;
}

const handle = 1;
const attributesValid = validity(0);
const blockSize = 4096;

export function answerAttributes({ view, reply, size, readOnly, send }: FileFacts): void {
  const iatt = emptyIatt(rootGfid, FileType.regular);
  iatt.mode = readOnly ? 0o400 : 0o600;
  iatt.nlink = 1;
  iatt.size = size();
  iatt.blocks = Math.floor(size() / 512);
  reply.attr(view.uniqueLow, view.uniqueHigh, iatt, { high: 0, low: rootNodeId }, attributesValid);
  send();
}

/** Times may be set, to no effect; a device is neither cut nor given away. */
export function answerSetAttributes(facts: FileFacts): void {
  const args = decoders.setattr(facts.view);
  if (!args) {
    facts.refuse(Errno.EINVAL);
    return;
  }
  const isCut = (args.valid & AttrValid.size) !== 0 && args.size !== facts.size();
  if (isCut || (args.valid & (AttrValid.mode | AttrValid.uid | AttrValid.gid)) !== 0) facts.refuse(Errno.EPERM);
  else answerAttributes(facts);
}

export function answerOpen({ view, reply, readOnly, send, refuse }: FileFacts): void {
  const args = decoders.open(view);
  if (!args) {
    refuse(Errno.EINVAL);
    return;
  }
  if (readOnly && (args.flags & OpenFlag.accessMode) !== 0) {
    refuse(Errno.EROFS);
    return;
  }
  // Nobody else changes the device: what the kernel has cached stays true from open to open.
  reply.opened(view.uniqueLow, view.uniqueHigh, handle, OpenReply.keepCache);
  send();
}

export function answerStatfs({ view, reply, size, send }: FileFacts): void {
  const blocks = Math.floor(size() / blockSize);
  const none = { blocksFree: 0, blocksAvailable: 0, files: 1, filesFree: 0, filesAvailable: 0, fsid: 0, flags: 0 };
  reply.statfs(view.uniqueLow, view.uniqueHigh, { ...none, blocks, blockSize, nameMax: 255, fragmentSize: blockSize });
  send();
}
