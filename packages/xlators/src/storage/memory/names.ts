/** Fops on names. */
import { type Call, Errno, FileType, type Fops, fail, type Iatt, type Loc, typeOfMode, type Xdata } from '@mortar/core';
import { attachOpen, OpenFlag, truncateTo } from './data.ts';
import type { MemoryFile } from './file.ts';
import { type NewFile, touch, type Volume, wantedXattrs } from './volume.ts';

const noReplace = 1;
const exchange = 2;

type NameFops = Pick<
  Fops,
  | 'lookup'
  | 'mknod'
  | 'mkdir'
  | 'symlink'
  | 'create'
  | 'put'
  | 'unlink'
  | 'rmdir'
  | 'link'
  | 'rename'
  | 'icreate'
  | 'namelink'
>;

type Where = { loc: Loc; xdata: Xdata | undefined };
type Made = { ok: true; file: MemoryFile; preParent: Iatt; postParent: Iatt };

/** Makes an object under a name. */
function makeAt(volume: Volume, call: Call, { loc, xdata }: Where, what: NewFile, fill?: (file: MemoryFile) => void) {
  const place = volume.place(loc, xdata);
  if (!place.ok) return place;
  const { parent, name, entry } = place.value;
  if (entry) return fail(Errno.EEXIST);
  const made = volume.make(call, what, parent);
  if (!made.ok) return made;
  const preParent = parent.iatt();
  fill?.(made.value);
  volume.link(parent, name, made.value, call.time);
  const result: Made = { ok: true, file: made.value, preParent, postParent: parent.iatt() };
  return result;
}

function entryReply(made: ReturnType<typeof makeAt>) {
  if (!made.ok) return made;
  const { file, preParent, postParent } = made;
  return { ok: true as const, iatt: file.iatt(), preParent, postParent };
}

/** Whether `dir` is `file` or below it. */
function isBelow(dir: MemoryFile, file: MemoryFile): boolean {
  for (let at: MemoryFile | null = dir; at; at = at.parent) if (at === file) return true;
  return false;
}

/** Whether an object is a linkto of distribute's, or a file whose move is not settled: its xattr says where it is, goes, or was. */
function isLinkto(file: MemoryFile, xdata: Xdata | undefined): boolean {
  const xattr = xdata?.notLinkto;
  if (xattr === undefined || file.isDirectory) return false;
  return file.xattrs.has(xattr);
}

/** 0, or why `target` may not be replaced by `source`. */
function cannotReplace(source: MemoryFile, target: MemoryFile): Errno | 0 {
  if (source.isDirectory && !target.isDirectory) return Errno.ENOTDIR;
  if (!source.isDirectory && target.isDirectory) return Errno.EISDIR;
  return target.entries.size > 0 ? Errno.ENOTEMPTY : 0;
}

function removeTree(volume: Volume, dir: MemoryFile, call: Call): void {
  for (const { name, file } of [...dir.entries.values()]) {
    if (file.isDirectory) removeTree(volume, file, call);
    volume.unlink(dir, name, call.time);
    volume.drop(file);
  }
}

export function nameFops(volume: Volume): NameFops {
  return {
    async lookup(_call, { loc, want, xdata }) {
      const named = loc.parent !== null && loc.name !== null;
      if (!named) {
        if (loc.gfid === null) return fail(Errno.EINVAL);
        const file = volume.file(loc);
        if (!file.ok) return file;
        const iatt = file.value.iatt();
        return { ok: true, iatt, postParent: iatt, xattrs: wantedXattrs(file.value, want) };
      }
      if (loc.name === '.' || loc.name === '..') {
        const dir = volume.directory(loc.parent);
        if (!dir.ok) return dir;
        const file = loc.name === '.' ? dir.value : (dir.value.parent ?? dir.value);
        return { ok: true, iatt: file.iatt(), postParent: dir.value.iatt(), xattrs: wantedXattrs(file, want) };
      }
      const place = volume.place(loc);
      if (!place.ok) return place;
      const { parent, entry } = place.value;
      // A claim about the layout matters only where the answer would be that there is no such name.
      if (!entry) return volume.place(loc, xdata).ok ? fail(Errno.ENOENT) : fail(Errno.EREMCHG);
      const { file } = entry;
      return { ok: true, iatt: file.iatt(), postParent: parent.iatt(), xattrs: wantedXattrs(file, want) };
    },

    async mknod(call, { loc, mode, rdevMajor, rdevMinor, gfid, initial, xdata }) {
      const type = typeOfMode(mode) || FileType.regular;
      if (type === FileType.directory || type === FileType.symlink) return fail(Errno.EINVAL);
      return entryReply(
        makeAt(volume, call, { loc, xdata }, { gfid, type, mode, initial }, (file) => {
          file.rdevMajor = rdevMajor;
          file.rdevMinor = rdevMinor;
        }),
      );
    },

    async mkdir(call, { loc, mode, gfid, initial, xdata }) {
      return entryReply(makeAt(volume, call, { loc, xdata }, { gfid, type: FileType.directory, mode, initial }));
    },

    async symlink(call, { loc, target, gfid, initial, xdata }) {
      if (target.length === 0) return fail(Errno.ENOENT);
      return entryReply(
        makeAt(volume, call, { loc, xdata }, { gfid, type: FileType.symlink, mode: 0o777, initial }, (file) => {
          file.target = target;
        }),
      );
    },

    async create(call, { loc, flags, mode, gfid, fd, initial, xdata }) {
      const place = volume.place(loc, xdata);
      if (!place.ok) return place;
      const { parent, entry } = place.value;
      if (entry) {
        if (flags & OpenFlag.exclusive) return fail(Errno.EEXIST);
        const { file } = entry;
        if (file.isDirectory) return fail(Errno.EISDIR);
        if (file.type === FileType.symlink) return fail(Errno.ELOOP);
        if (flags & OpenFlag.truncate) truncateTo(volume, file, 0, call.time, xdata);
        attachOpen(volume, fd, file, flags);
        return { ok: true, iatt: file.iatt(), preParent: parent.iatt(), postParent: parent.iatt() };
      }
      const made = makeAt(volume, call, { loc, xdata }, { gfid, type: FileType.regular, mode, initial });
      if (made.ok) attachOpen(volume, fd, made.file, flags);
      return entryReply(made);
    },

    async put(call, { loc, mode, gfid, data, initial, xdata }) {
      if (!volume.fits(data.length)) return fail(Errno.ENOSPC);
      return entryReply(
        makeAt(volume, call, { loc, xdata }, { gfid, type: FileType.regular, mode, initial }, (file) =>
          volume.change(file, () => file.content.write(0, data)),
        ),
      );
    },

    async unlink(call, { loc, xdata }) {
      const place = volume.place(loc);
      if (!place.ok) return place;
      const { parent, name, entry } = place.value;
      if (!entry) return fail(Errno.ENOENT);
      if (entry.file.isDirectory) return fail(Errno.EISDIR);
      if (isLinkto(entry.file, xdata)) return fail(Errno.ENOENT);
      const preParent = parent.iatt();
      volume.unlink(parent, name, call.time);
      volume.drop(entry.file);
      return { ok: true, preParent, postParent: parent.iatt() };
    },

    async rmdir(call, { loc, recursive, xdata }) {
      const place = volume.place(loc, xdata);
      if (!place.ok) return place;
      const { parent, name, entry } = place.value;
      if (!entry) return fail(Errno.ENOENT);
      if (!entry.file.isDirectory) return fail(Errno.ENOTDIR);
      if (entry.file.entries.size > 0 && !recursive) return fail(Errno.ENOTEMPTY);
      const preParent = parent.iatt();
      removeTree(volume, entry.file, call);
      volume.unlink(parent, name, call.time);
      volume.drop(entry.file);
      return { ok: true, preParent, postParent: parent.iatt() };
    },

    async link(call, { from, to, xdata }) {
      const place = volume.place({ ...to, gfid: null }, xdata);
      if (!place.ok) return place;
      const { parent, name, entry } = place.value;
      if (entry) return fail(Errno.EEXIST);
      const file = volume.linkable(from, xdata?.nameless === true);
      if (!file.ok) return file;
      if (file.value.isDirectory) return fail(Errno.EPERM);
      if (isLinkto(file.value, xdata)) return fail(Errno.ENOENT);
      const preParent = parent.iatt();
      volume.link(parent, name, file.value, call.time);
      return { ok: true, iatt: file.value.iatt(), preParent, postParent: parent.iatt() };
    },

    async rename(call, { from, to, flags, xdata }) {
      const source = volume.place(from);
      const target = volume.place(to, xdata);
      if (!source.ok) return source;
      if (!target.ok) return target;
      if (flags & ~(noReplace | exchange) || flags === (noReplace | exchange)) return fail(Errno.EINVAL);
      const { parent: oldParent, name: oldName, entry } = source.value;
      const { parent: newParent, name: newName, entry: existing } = target.value;
      if (!entry || isLinkto(entry.file, xdata)) return fail(Errno.ENOENT);
      const preFromParent = oldParent.iatt();
      const preToParent = newParent.iatt();
      const done = () => ({
        ok: true as const,
        iatt: entry.file.iatt(),
        preFromParent,
        postFromParent: oldParent.iatt(),
        preToParent,
        postToParent: newParent.iatt(),
      });
      if (existing && flags & noReplace) return fail(Errno.EEXIST);
      if (!existing && flags & exchange) return fail(Errno.ENOENT);
      if (existing?.file === entry.file) return done();
      if (entry.file.isDirectory && isBelow(newParent, entry.file)) return fail(Errno.EINVAL);
      if (flags & exchange && existing) {
        if (existing.file.isDirectory && isBelow(oldParent, existing.file)) return fail(Errno.EINVAL);
        volume.unlink(oldParent, oldName, call.time);
        volume.unlink(newParent, newName, call.time);
        volume.link(newParent, newName, entry.file, call.time);
        volume.link(oldParent, oldName, existing.file, call.time);
        return done();
      }
      if (existing) {
        const errno = cannotReplace(entry.file, existing.file);
        if (errno) return fail(errno);
        volume.unlink(newParent, newName, call.time);
        volume.drop(existing.file);
      }
      volume.unlink(oldParent, oldName, call.time);
      volume.link(newParent, newName, entry.file, call.time);
      return done();
    },

    async icreate(call, { gfid, mode, initial }) {
      const type = typeOfMode(mode) || FileType.regular;
      if (type === FileType.directory) return fail(Errno.EINVAL);
      const made = volume.make(call, { gfid, type, mode, initial }, null);
      return made.ok ? { ok: true, iatt: made.value.iatt() } : made;
    },

    async namelink(call, { loc }) {
      if (loc.gfid === null) return fail(Errno.EINVAL);
      const file = volume.byGfid(loc.gfid);
      if (!file.ok) return file;
      const place = volume.place(loc);
      if (!place.ok) return place;
      const { parent, name, entry } = place.value;
      if (entry) return fail(Errno.EEXIST);
      const preParent = parent.iatt();
      volume.link(parent, name, file.value, call.time);
      touch(parent, call.time, undefined);
      return { ok: true, preParent, postParent: parent.iatt() };
    },
  };
}
