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
import { Departures } from '@mortar/xlators/lib/departures.ts';
import { decodeSync, encodeSynced, syncOperation } from '@mortar/xlators/lib/sync-request.ts';
import type { MemoryFile } from '@mortar/xlators/storage/memory/file.ts';
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
  readonly #departures: Departures;

  constructor(init: XlatorInit, disk: SimDisk, faults: DiskFaults) {
    super(init);
    this.#disk = disk;
    this.#faults = faults;
    this.#departures = new Departures(init.services.clock);
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
    const reply = this.#tellingOfMoves(name, await pending, args);
    if (!reply.ok) return reply;
    if (name === 'fsync' || name === 'fsyncdir') this.#disk.sync(fd!.gfid, name === 'fsyncdir');
    else if (changes(name)) this.#disk.did(name, call, args, sizeBefore);
    return reply;
  }

  #tellingOfMoves<N extends FopName>(name: N, reply: Reply<N>, args: Args<N>): Reply<N> {
    if (name === 'unlink' && reply.ok) this.#departures.note((args as Args<'unlink'>).xdata);
    if (name === 'lookup') {
      const found = this.#departures.tellIfMissing(reply as Reply<'lookup'>);
      return this.#withNames(found, (args as Args<'lookup'>).want) as Reply<N>;
    }
    if (name === 'readdir' || name === 'readdirp') return this.#departures.tell(reply as Reply<'readdir'>) as Reply<N>;
    return reply;
  }

  /** As storage/posix: each file has records of its names. */
  #withNames(reply: Reply<'lookup'>, want: Args<'lookup'>['want']): Reply<'lookup'> {
    if (!reply.ok || !want?.includes(`${nameRecord}*`)) return reply;
    const xattrs = { ...reply.xattrs };
    const visit = (directory: MemoryFile): void => {
      for (const [name, { file }] of directory.entries) {
        if (file.isDirectory) visit(file);
        else if (file.gfid === reply.iatt.gfid)
          xattrs[`${nameRecord}${Object.keys(xattrs).length}`] = Buffer.from(`${directory.gfid}/${name}`);
      }
    };
    visit(this.#disk.volume.root);
    return { ...reply, xattrs };
  }
}

const nameRecord = 'trusted.gfid2path.';

/** Fops that injected errors may hit: those that do work on the disk. */
export function mayFail(fop: FopName): boolean {
  const { class: touches } = fops[fop];
  return touches !== 'lock' && touches !== 'control';
}
