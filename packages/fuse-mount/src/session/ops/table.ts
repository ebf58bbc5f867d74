/** Which function serves which request. */
import { Errno } from '@mortar/core';
import type { OpName, RequestOf } from '../../protocol/index.ts';
import type { Ask } from '../ask.ts';
import type { Session } from '../session.ts';
import * as attr from './attr.ts';
import * as directory from './directory.ts';
import * as file from './file.ts';
import * as locks from './locks.ts';
import * as names from './names.ts';
import * as xattr from './xattr.ts';

export type Handler<N extends OpName> = (s: Session, ask: Ask, args: RequestOf<N>) => Promise<void> | void;

/** Served by the session itself, before a handler is looked for. */
type Internal = 'init' | 'forget' | 'batchForget' | 'interrupt' | 'notifyReply';

/** ENOSYS tells the kernel not to ask again; ENOTTY is what an unknown ioctl gets. */
const refuse =
  (errno: number): Handler<OpName> =>
  (_s, ask) =>
    ask.fail(errno);

const unreachable: Handler<OpName> = (_s, ask) => {
  throw new Error(`${ask.op} is not for handlers`);
};

export const handlers: { readonly [N in OpName]: Handler<N> } = {
  ...({
    init: unreachable,
    forget: unreachable,
    batchForget: unreachable,
    interrupt: unreachable,
    notifyReply: unreachable,
  } satisfies Record<Internal, Handler<OpName>>),
  lookup: names.lookup,
  getattr: attr.getattr,
  setattr: attr.setattr,
  readlink: attr.readlink,
  symlink: names.symlink,
  mknod: names.mknod,
  mkdir: names.mkdir,
  unlink: names.unlink,
  rmdir: names.rmdir,
  rename: names.rename,
  rename2: names.rename,
  link: names.link,
  open: file.open,
  read: file.read,
  write: file.write,
  statfs: attr.statfs,
  release: file.release,
  fsync: file.fsync,
  fsyncdir: file.fsync,
  setxattr: xattr.setxattr,
  getxattr: xattr.getxattr,
  listxattr: xattr.listxattr,
  removexattr: xattr.removexattr,
  flush: file.flush,
  opendir: directory.opendir,
  readdir: directory.readdir,
  readdirplus: directory.readdirplus,
  releasedir: directory.releasedir,
  getlk: locks.getlk,
  setlk: locks.setlk,
  setlkw: locks.setlkw,
  access: attr.access,
  create: names.create,
  tmpfile: names.tmpfile,
  fallocate: file.fallocate,
  lseek: file.lseek,
  copyFileRange: file.copyFileRange,
  copyFileRange64: file.copyFileRange,
  syncfs: file.syncfs,
  statx: attr.statx,
  destroy: (_s, ask) => ask.ok(),
  bmap: refuse(Errno.ENOSYS),
  ioctl: refuse(Errno.ENOTTY),
  poll: refuse(Errno.ENOSYS),
};
