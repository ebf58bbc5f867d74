/** What an open file says of itself, and how that is changed: attributes, and extended ones. */
import { type AttrChange, type ByteString, byteString, Errno, FileType, type Iatt } from '@mortar/core';
import { xattrMaxBytes } from '@mortar/host';
import { type BytesLike, bytesOf } from './arguments.ts';
import type { CallOptions } from './client.ts';
import { argumentError, fsError } from './errors.ts';
import { modeOf } from './flags.ts';
import type { GraphFile } from './graph-file.ts';
import { killPrivileges, mustKill } from './privileges.ts';
import { VolumeStats } from './stats.ts';
import { type Time, timespecOf } from './times.ts';
import { type SetXattrOptions, shownNames, valueIn, xattrFlags, xattrProblem } from './xattrs.ts';

export class HandleAttributes {
  /** The file below: fops that answer with replies, and nothing copied. */
  readonly raw: GraphFile;

  constructor(raw: GraphFile) {
    this.raw = raw;
  }

  async stat(options?: CallOptions): Promise<VolumeStats> {
    const reply = await this.raw.run((top, call, fd) => top.fstat(call, { fd }), options);
    return new VolumeStats(this.must(reply, 'fstat').iatt);
  }

  async chmod(mode: number | string, options?: CallOptions): Promise<void> {
    await this.#setattr({ mode: modeOf(mode, 0) }, 'fchmod', options);
  }

  async chown(uid: number, gid: number, options?: CallOptions): Promise<void> {
    const post = await this.#setattr(ownerOf(uid, gid), 'fchown', options);
    if (post && mustKill({ ...this.raw.who, uid: -1 }, post))
      await killPrivileges(this.raw.client, this.raw.who, post, this.raw);
  }

  async utimes(atime: Time, mtime: Time, options?: CallOptions): Promise<void> {
    const attr = { atime: timespecOf(atime, 'atime'), mtime: timespecOf(mtime, 'mtime') };
    await this.#setattr(attr, 'futime', options);
  }

  async getxattr(name: string, options?: CallOptions): Promise<Buffer> {
    const key = this.#xattr(name, false, 'fgetxattr');
    const reply = await this.raw.run((top, call, fd) => top.fgetxattr(call, { fd, name: key }), options);
    const value = valueIn(this.must(reply, 'fgetxattr').xattrs, key);
    if (typeof value === 'number') throw this.error(value, 'fgetxattr');
    return Buffer.from(value);
  }

  async setxattr(name: string, value: BytesLike, options: CallOptions & SetXattrOptions = {}): Promise<void> {
    const key = this.#xattr(name, true, 'fsetxattr');
    const bytes = bytesOf(value, 'utf8');
    if (bytes.length > xattrMaxBytes) throw this.error(Errno.E2BIG, 'fsetxattr');
    const args = { xattrs: { [key]: Uint8Array.from(bytes) }, flags: xattrFlags(options) };
    this.must(await this.raw.run((top, call, fd) => top.fsetxattr(call, { fd, ...args }), options), 'fsetxattr');
  }

  async listxattr(options?: CallOptions): Promise<string[]> {
    const reply = await this.raw.run((top, call, fd) => top.fgetxattr(call, { fd }), options);
    return shownNames(this.must(reply, 'flistxattr').xattrs, this.raw.who.uid).map(utf8);
  }

  async removexattr(name: string, options?: CallOptions): Promise<void> {
    const key = this.#xattr(name, true, 'fremovexattr');
    const reply = await this.raw.run((top, call, fd) => top.fremovexattr(call, { fd, name: key }), options);
    this.must(reply, 'fremovexattr');
  }

  async #setattr(attr: AttrChange, syscall: string, options: CallOptions | undefined): Promise<Iatt | null> {
    if (Object.keys(attr).length === 0) return null;
    const reply = await this.raw.run((top, call, fd) => top.fsetattr(call, { fd, attr }), options);
    return this.must(reply, syscall).post;
  }

  #xattr(name: string, change: boolean, syscall: string): ByteString {
    const key = byteString(name);
    const errno = xattrProblem(key, this.raw.who.uid, FileType.regular, change);
    if (errno !== 0) throw this.error(errno, syscall);
    return key;
  }

  protected must<R extends { ok: true } | { ok: false; errno: number }>(
    reply: R,
    syscall: string,
  ): Extract<R, { ok: true }> {
    if (!reply.ok) throw this.error(reply.errno, syscall);
    return reply as Extract<R, { ok: true }>;
  }

  /** As node's, errors of handles name no path. */
  protected error(errno: number, syscall: string): NodeJS.ErrnoException {
    return fsError(errno, syscall);
  }
}

export function ownerOf(uid: number, gid: number): AttrChange {
  const attr: AttrChange = {};
  for (const [name, value] of [
    ['uid', uid],
    ['gid', gid],
  ] as const) {
    if (!Number.isInteger(value) || value < -1 || value > 0xffffffff) throw argumentError(name, 'a number', value);
    if (value >= 0 && value < 0xffffffff) attr[name] = value;
  }
  return attr;
}

const utf8 = (name: ByteString): string => Buffer.from(name, 'latin1').toString('utf8');
