import {
  type Args,
  type Call,
  Errno,
  type Fd,
  fail,
  type Gfid,
  type Iatt,
  locOf,
  type Reply,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { options } from './options.ts';

const none = new Uint8Array(0);
/** There are no bytes here; an answer would be a wrong one. */
const noData = fail(Errno.EIO);

/** Names, attributes and counters as on any brick, but no bytes: files stay empty. */
export class Arbiter extends Xlator {
  async writev(call: Call, { fd, data }: Args<'writev'>): Promise<Reply<'writev'>> {
    return this.#unchanged(call, fd, { written: data.length });
  }

  truncate(call: Call, { loc }: Args<'truncate'>): Promise<Reply<'truncate'>> {
    return this.#unchanged(call, loc, {});
  }

  ftruncate(call: Call, { fd }: Args<'ftruncate'>): Promise<Reply<'ftruncate'>> {
    return this.#unchanged(call, fd, {});
  }

  fallocate(call: Call, { fd }: Args<'fallocate'>): Promise<Reply<'fallocate'>> {
    return this.#unchanged(call, fd, {});
  }

  discard(call: Call, { fd }: Args<'discard'>): Promise<Reply<'discard'>> {
    return this.#unchanged(call, fd, {});
  }

  zerofill(call: Call, { fd }: Args<'zerofill'>): Promise<Reply<'zerofill'>> {
    return this.#unchanged(call, fd, {});
  }

  async copy_file_range(call: Call, { from, to, size }: Args<'copy_file_range'>): Promise<Reply<'copy_file_range'>> {
    const source = await this.child.fstat(call, { fd: from });
    return source.ok ? this.#unchanged(call, to, { written: size, source: source.iatt }) : source;
  }

  put(call: Call, args: Args<'put'>): Promise<Reply<'put'>> {
    return this.child.put(call, { ...args, data: none });
  }

  async readv(_call: Call, _args: Args<'readv'>): Promise<Reply<'readv'>> {
    return noData;
  }

  async seek(_call: Call, _args: Args<'seek'>): Promise<Reply<'seek'>> {
    return noData;
  }

  async rchecksum(_call: Call, _args: Args<'rchecksum'>): Promise<Reply<'rchecksum'>> {
    return noData;
  }

  /** Success, with the attributes that the file has here before and after. */
  async #unchanged<E extends object>(
    call: Call,
    file: Fd | { gfid: Gfid | null },
    extra: E,
  ): Promise<({ ok: true; pre: Iatt; post: Iatt } & E) | { ok: false; errno: Errno }> {
    if (file.gfid === null) return fail(Errno.EINVAL);
    const reply =
      'flags' in file
        ? await this.child.fstat(call, { fd: file })
        : await this.child.stat(call, { loc: locOf(file.gfid) });
    return reply.ok ? { ok: true, pre: reply.iatt, post: reply.iatt, ...extra } : reply;
  }
}

export const xlator: XlatorType<typeof options> = {
  type: 'features/arbiter',
  description: 'A brick that votes but keeps no data.',
  keeps: 'nothing',
  options,
  subvolumes: { min: 1, max: 1 },
  create: (init) => new Arbiter(init as XlatorInit),
};
