/** Messages to the kernel that nobody asked for: caches to drop. They have unique 0 and a code in place of the errno. */
import type { ByteString } from '@mortar/core';
import { NotifyCode, outHeaderBytes } from './constants.ts';

const expireOnly = 1;

function message(code: number, bodyBytes: number): { bytes: Buffer; view: DataView } {
  const bytes = Buffer.alloc(outHeaderBytes + bodyBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint32(0, bytes.length, true);
  view.setInt32(4, code, true);
  return { bytes, view };
}

function put64(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32);
  view.setUint32(at, value - high * 2 ** 32, true);
  view.setInt32(at + 4, high, true);
}

/** Cached attributes, and pages from `offset` on (`length` 0: to the end; `offset` -1: attributes only). */
export function invalidateInode(nodeId: number, offset: number, length: number): Buffer {
  const { bytes, view } = message(NotifyCode.invalidateInode, 24);
  put64(view, 16, nodeId);
  put64(view, 24, offset);
  put64(view, 32, length);
  return bytes;
}

/** The kernel is to send again what was taken and not answered: by whoever had the descriptor before. */
export function resend(): Buffer {
  return message(NotifyCode.resend, 0).bytes;
}

/** A cached name. `expire`: only its validity ends; the kernel asks again before the next use. */
export function invalidateEntry(parentId: number, name: ByteString, expire = false): Buffer {
  const { bytes, view } = message(NotifyCode.invalidateEntry, 16 + name.length + 1);
  put64(view, 16, parentId);
  view.setUint32(24, name.length, true);
  view.setUint32(28, expire ? expireOnly : 0, true);
  bytes.write(name, 32, 'latin1');
  return bytes;
}

/** A name that was removed: also tells those who watch the directory. */
export function deletedEntry(parentId: number, childId: number, name: ByteString): Buffer {
  const { bytes, view } = message(NotifyCode.delete, 24 + name.length + 1);
  put64(view, 16, parentId);
  put64(view, 24, childId);
  view.setUint32(32, name.length, true);
  bytes.write(name, 40, 'latin1');
  return bytes;
}
