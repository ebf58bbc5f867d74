/** What distribute does with each operation; complete by type. */
import { Errno, type FopName, type FopRecord, fail, fopNames, type Iatt } from '@mortar/core';
import { doneByHand } from './by-hand.ts';
import { compound } from './compound.ts';
import { changeDirectoryXattr, namesOf, setDirectoryAttr } from './directory-attributes.ts';
import { link } from './link.ts';
import { lookup } from './lookup.ts';
import { mergeDirectoryIatts } from './merge.ts';
import { mkdir } from './mkdir.ts';
import { isInternalXattr } from './names.ts';
import { create, newEntry } from './new-entry.ts';
import { byFd, byLoc, type Handler, isDirectoryError, onAll, onLockChild, onOne } from './on-file.ts';
import { readdir, readdirp } from './readdir.ts';
import { rename } from './rename.ts';
import { rmdir } from './rmdir.ts';
import { getxattrOnOne, lookupOnOne, mkdirOnOne } from './single.ts';
import { unlink } from './unlink.ts';
import { copy_file_range, ipc, statfs } from './volume-wide.ts';
import { fgetxattr, getxattr } from './xattrs.ts';

type Handlers = { [N in FopName]: Handler<N> };

const refuse = async () => fail(Errno.EOPNOTSUPP);
const mergeAttributes = (replies: { ok: true; iatt: Iatt }[]) => ({
  ok: true as const,
  iatt: mergeDirectoryIatts(replies.map((reply) => reply.iatt)),
});
const firstOf = <R>(replies: readonly R[]): R => replies[0]!;

/** Callers do not touch the file system's own xattrs. */
function guarded<N extends 'setxattr' | 'removexattr' | 'fsetxattr' | 'fremovexattr'>(handler: Handler<N>): Handler<N> {
  return async (d, call, args) =>
    !call.internal && namesOf(args).some(isInternalXattr) ? fail(Errno.EPERM) : handler(d, call, args);
}

const setxattr = guarded(byLoc('setxattr', changeDirectoryXattr('setxattr')));

export const handlers: Handlers = {
  lookup,
  stat: byLoc('stat', onAll('stat', mergeAttributes)),
  fstat: byFd('fstat', onAll('fstat', mergeAttributes)),
  access: byLoc('access', onOne('access')),
  readlink: byLoc('readlink', async () => fail(Errno.EINVAL)),
  statfs,

  create,
  mknod: (d, call, args) => newEntry(d, call, 'mknod', args),
  symlink: (d, call, args) => newEntry(d, call, 'symlink', args),
  put: (d, call, args) => newEntry(d, call, 'put', args),
  mkdir,
  unlink,
  rmdir,
  rename,
  link,
  // An object without a name has no place yet.
  icreate: refuse,
  namelink: refuse,

  open: async (d, call, args) => {
    const reply = await byLoc('open', isDirectoryError())(d, call, args);
    const state = reply.ok ? d.stateOf(args.fd.gfid) : undefined;
    if (state?.kind === 'file') d.rememberFd(args.fd, state);
    return reply;
  },
  readv: byFd('readv', isDirectoryError()),
  writev: byFd('writev', isDirectoryError()),
  flush: byFd('flush', onAll('flush', firstOf)),
  fsync: byFd('fsync', onAll('fsync', firstOf)),
  truncate: byLoc('truncate', isDirectoryError()),
  ftruncate: byFd('ftruncate', isDirectoryError()),
  fallocate: byFd('fallocate', isDirectoryError()),
  discard: byFd('discard', isDirectoryError()),
  zerofill: byFd('zerofill', isDirectoryError()),
  seek: byFd('seek', isDirectoryError()),
  rchecksum: byFd('rchecksum', isDirectoryError()),
  copy_file_range,

  opendir: byLoc('opendir', onAll('opendir', firstOf)),
  readdir,
  readdirp,
  fsyncdir: byFd('fsyncdir', onAll('fsyncdir', firstOf)),

  setattr: byLoc('setattr', setDirectoryAttr('setattr')),
  fsetattr: byFd('fsetattr', setDirectoryAttr('fsetattr')),
  getxattr,
  fgetxattr,
  setxattr: (d, call, args) => doneByHand(d, call, args) ?? setxattr(d, call, args),
  fsetxattr: guarded(byFd('fsetxattr', changeDirectoryXattr('fsetxattr'))),
  removexattr: guarded(byLoc('removexattr', changeDirectoryXattr('removexattr'))),
  fremovexattr: guarded(byFd('fremovexattr', changeDirectoryXattr('fremovexattr'))),
  xattrop: byLoc('xattrop', onLockChild('xattrop')),
  fxattrop: byFd('fxattrop', onLockChild('fxattrop')),

  lk: byFd('lk', onLockChild('lk')),
  inodelk: byLoc('inodelk', onLockChild('inodelk')),
  finodelk: byFd('finodelk', onLockChild('finodelk')),
  entrylk: byLoc('entrylk', onLockChild('entrylk')),
  fentrylk: byFd('fentrylk', onLockChild('fentrylk')),
  lease: byLoc('lease', onLockChild('lease')),

  ipc,
  compound,
};

/** Over one child all passes straight through but what GlusterFS writes there too, and what tells of the volume. */
export const singleChildHandlers: Partial<Handlers> = {
  lookup: lookupOnOne,
  mkdir: mkdirOnOne,
  getxattr: getxattrOnOne,
  setxattr: guarded((d, call, args) => d.child.setxattr(call, args)),
  removexattr: guarded((d, call, args) => d.child.removexattr(call, args)),
};

export const fopRecord = Object.fromEntries(
  fopNames.map((name) => [name, handlers[name] === refuse ? 'refuses' : 'handles']),
) as FopRecord;
