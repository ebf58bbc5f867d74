/** Extended attributes. */
import { type ByteString, Errno, type Reply } from '@mortar/core';
import { isGuardedXattr, isHiddenXattr, xattrMaxBytes } from '@mortar/host/client/rules.ts';
import type { RequestOf } from '../../protocol/index.ts';
import type { Ask } from '../ask.ts';
import type { Session } from '../session.ts';
import { failWith, nodeOf, onFile } from './common.ts';

/** Names that are refused without asking a brick: the kernel asks for some of them at every write or exec. */
function shortcut(s: Session, name: ByteString, reading: boolean): number {
  if (name.startsWith('system.posix_acl_')) return s.options.acl ? 0 : Errno.EOPNOTSUPP;
  if (name === 'security.selinux') return s.options.selinux ? 0 : Errno.EOPNOTSUPP;
  if (name === 'security.capability') {
    if (s.options.capability || s.options.selinux) return 0;
    return reading ? Errno.ENODATA : Errno.EOPNOTSUPP;
  }
  if (name === 'security.ima' || name === 'security.evm') return reading ? Errno.ENODATA : Errno.EOPNOTSUPP;
  return 0;
}

function checked(s: Session, ask: Ask, name: ByteString, reading: boolean): boolean {
  const tooLong = name.length > 255 ? Errno.ERANGE : 0;
  const forbidden = !reading && isGuardedXattr(name) ? Errno.EPERM : 0;
  const errno = name.length === 0 ? Errno.EINVAL : tooLong || forbidden || shortcut(s, name, reading);
  if (errno !== 0) ask.fail(errno);
  return errno === 0;
}

/** A value, or with size 0 how long it is. */
function answerSized(ask: Ask, bytes: Uint8Array, size: number): void {
  if (size === 0) ask.size32(bytes.length);
  else if (bytes.length > size) ask.fail(Errno.ERANGE);
  else ask.data(bytes);
}

export async function getxattr(s: Session, ask: Ask, { name, size }: RequestOf<'getxattr'>): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node || !checked(s, ask, name, true)) return;
  const { top, call } = ask;
  const reply = await onFile<Reply<'getxattr'>>(
    s,
    ask,
    node,
    (loc) => top.getxattr(call, { loc, name }),
    (fd) => top.fgetxattr(call, { fd, name }),
  );
  if (!reply.ok) return failWith(ask, reply);
  const value = Object.hasOwn(reply.xattrs, name) ? reply.xattrs[name] : undefined;
  if (!value) return ask.fail(Errno.ENODATA);
  if (value.length > xattrMaxBytes) return ask.fail(Errno.E2BIG);
  answerSized(ask, value, size);
}

export async function listxattr(s: Session, ask: Ask, { size }: RequestOf<'listxattr'>): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node) return;
  const { top, call } = ask;
  const reply = await onFile<Reply<'getxattr'>>(
    s,
    ask,
    node,
    (loc) => top.getxattr(call, { loc }),
    (fd) => top.fgetxattr(call, { fd }),
  );
  if (!reply.ok) return failWith(ask, reply);
  const names = Object.keys(reply.xattrs).filter(
    (name) => !isHiddenXattr(name, call.uid) && shortcut(s, name, true) === 0 && !name.includes('\0'),
  );
  const bytes = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
  if (bytes.length > xattrMaxBytes) return ask.fail(Errno.E2BIG);
  answerSized(ask, bytes, size);
}

export async function setxattr(s: Session, ask: Ask, args: RequestOf<'setxattr'>): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node || !checked(s, ask, args.name, false)) return;
  if (args.value.length > xattrMaxBytes) return ask.fail(Errno.E2BIG);
  const { top, call } = ask;
  const xattrs = { [args.name]: args.value };
  const { flags } = args;
  const reply = await onFile<Reply<'setxattr'>>(
    s,
    ask,
    node,
    (loc) => top.setxattr(call, { loc, xattrs, flags }),
    (fd) => top.fsetxattr(call, { fd, xattrs, flags }),
  );
  if (reply.ok) ask.ok();
  else failWith(ask, reply);
}

export async function removexattr(s: Session, ask: Ask, { name }: RequestOf<'removexattr'>): Promise<void> {
  const node = nodeOf(s, ask);
  if (!node || !checked(s, ask, name, false)) return;
  const { top, call } = ask;
  const reply = await onFile<Reply<'removexattr'>>(
    s,
    ask,
    node,
    (loc) => top.removexattr(call, { loc, name }),
    (fd) => top.fremovexattr(call, { fd, name }),
  );
  if (reply.ok) ask.ok();
  else failWith(ask, reply);
}
