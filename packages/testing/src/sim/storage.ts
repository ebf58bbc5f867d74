/** storage/simulated: the bottom of a simulated brick, over a disk that may be slow, fail, or lose what was not synced. */
import {
  type Args,
  type Call,
  Errno,
  Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  fops,
  type Gfid,
  type Reply,
  Xlator,
  type XlatorInit,
} from '@mortar/core';
import { decodeSync, encodeSynced, syncOperation } from '@mortar/xlators/lib/sync-request.ts';
import { changes, type SimDisk } from './disk.ts';

/** What the disk does to a request. */
export interface DiskFaults {
  delayMs(fop: FopName): number;
  /** An error instead of the answer; `late`: what was asked is done all the same. */
  error(fop: FopName): { errno: Errno; late: boolean } | undefined;
}

export class SimStorage extends Xlator {
  readonly #disk: SimDisk;
  readonly #faults: DiskFaults;

  constructor(init: XlatorInit, disk: SimDisk, faults: DiskFaults) {
    super(init);
    this.#disk = disk;
    this.#faults = faults;
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    if (name === 'compound') return super.bindFop(name, next);
    if (name === 'ipc') return this.#ipc.bind(this) as Fop<'ipc'> as unknown as Fops[N];
    const run: Fop<N> = (call, args) => this.#run(name, call, args);
    return run as unknown as Fops[N];
  }

  async #ipc(call: Call, { operation, data }: Args<'ipc'>): Promise<Reply<'ipc'>> {
    const gfids = operation === syncOperation ? decodeSync(data) : null;
    if (!gfids) return fail(Errno.EOPNOTSUPP);
    const one = async (gfid: Gfid) => {
      const fd = new Fd(gfid);
      const reply = await this.#run('fsync', call, { fd, dataOnly: false });
      fd.release();
      return reply.ok ? 0 : reply.errno;
    };
    return { ok: true, data: encodeSynced(await Promise.all(gfids.map(one))) };
  }

  async #run<N extends FopName>(name: N, call: Call, args: Args<N>): Promise<Reply<N>> {
    const delayMs = this.#faults.delayMs(name);
    if (delayMs > 0) await this.services.clock.sleep(delayMs);
    const error = this.#faults.error(name);
    if (error && !error.late) return fail(error.errno);
    const reply = await this.#do(name, call, args);
    return error && reply.ok ? fail(error.errno) : reply;
  }

  async #do<N extends FopName>(name: N, call: Call, args: Args<N>): Promise<Reply<N>> {
    const run = this.#disk.ops[name] as unknown as Fop<N> | undefined;
    if (!run) return fail(Errno.EOPNOTSUPP);
    const { fd } = args as { fd?: Args<'fsync'>['fd'] };
    const found = fd && name === 'writev' ? this.#disk.volume.opened(fd) : undefined;
    const sizeBefore = found?.ok ? found.value.size : 0;
    // The fops of storage/memory do all they do before they first wait: logging keeps their order.
    const pending = run(call, args);
    const reply = await pending;
    if (!reply.ok) return reply;
    if (name === 'fsync' || name === 'fsyncdir') this.#disk.sync(fd!.gfid, name === 'fsyncdir');
    else if (changes(name)) this.#disk.did(name, call, args, sizeBefore);
    return reply;
  }
}

/** Fops that injected errors may hit: those that do work on the disk. */
export function mayFail(fop: FopName): boolean {
  const { class: touches } = fops[fop];
  return touches !== 'lock' && touches !== 'control';
}
