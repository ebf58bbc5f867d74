/**
 * A brick's disk: a volume of storage/memory and the index, with a journal of what was done since it was made. A power
 * loss keeps a prefix of the changes of names, attributes and xattrs that reaches at least to the last sync, and of the
 * unsynced writes of data any. What is left is done again on an empty volume: that is the disk after the crash.
 */
import {
  type Args,
  type Call,
  Fd,
  type Fop,
  type FopName,
  type Fops,
  fops,
  type Gfid,
  locOf,
  rootGfid,
  type Timespec,
  type Xattrs,
} from '@mortar/core';
import { dataFops } from '@mortar/xlators/storage/memory/data.ts';
import { metadataFops } from '@mortar/xlators/storage/memory/metadata.ts';
import { nameFops } from '@mortar/xlators/storage/memory/names.ts';
import { Volume } from '@mortar/xlators/storage/memory/volume.ts';
import { MemoryIndexStore } from './memory-index.ts';
import type { SeededRandom } from './random.ts';

export type StorageFops = Partial<Fops>;

interface Entry {
  readonly atMs: number;
  /** A write of data: the file it belongs to. Else a change in the journal, whose order holds. */
  readonly dataOf: Gfid | null;
  synced: boolean;
  readonly redo: (image: Image) => void;
}

interface Image {
  readonly volume: Volume;
  readonly ops: StorageFops;
  readonly index: MemoryIndexStore;
}

/** After so long a change is on disk without a sync. */
const journalCommitMs = 5_000;
const writebackMs = 30_000;
const capacityBytes = 2 ** 30;
/** Writes that lie outside the journal. */
const unordered = new Set<FopName>(['writev', 'copy_file_range', 'zerofill', 'discard']);

export class SimDisk {
  readonly #slot: number;
  readonly #made: Timespec;
  readonly #nowMs: () => number;
  #journal: Entry[] = [];
  #image: Image;
  #redoing = false;

  /** `slot`: where the storage translator keeps its state on fds. */
  constructor(slot: number, made: Timespec, nowMs: () => number) {
    this.#slot = slot;
    this.#made = made;
    this.#nowMs = nowMs;
    this.#image = this.#newImage();
  }

  get volume(): Volume {
    return this.#image.volume;
  }

  get index(): MemoryIndexStore {
    return this.#image.index;
  }

  get ops(): StorageFops {
    return this.#image.ops;
  }

  #newImage(isOtherBoot = false): Image {
    const volume = new Volume(this.#slot, capacityBytes, this.#made);
    const index = new MemoryIndexStore((redo) => this.#log(null, (image) => redo(image.index)), isOtherBoot);
    return { volume, index, ops: { ...nameFops(volume), ...dataFops(volume), ...metadataFops(volume) } };
  }

  #log(dataOf: Gfid | null, redo: Entry['redo'], synced = false): void {
    if (!this.#redoing) this.#journal.push({ atMs: this.#nowMs(), dataOf, synced, redo });
  }

  /** After a fop that changed something succeeded. */
  did<N extends FopName>(fop: N, call: Call, args: object, sizeBefore: number): void {
    const { fd, to } = args as { fd?: Fd; to?: Fd };
    const gfid = (to instanceof Fd ? to : fd)?.gfid ?? null;
    const given = { ...args } as Record<string, unknown>;
    if (fop === 'writev') {
      const data = Uint8Array.from(given.data as Uint8Array);
      Object.assign(given, { data, ...(given.append ? { append: false, offset: sizeBefore } : {}) });
    }
    const redo = (image: Image) => {
      const fresh: Fd[] = [];
      const again: Record<string, unknown> = {};
      for (const [key, value] of Object.entries(given)) {
        again[key] = value instanceof Fd ? new Fd(value.gfid, value.flags) : value;
        if (again[key] instanceof Fd) fresh.push(again[key] as Fd);
      }
      void (image.ops[fop] as Fop<FopName>)(call, again as never);
      for (const one of fresh) one.release();
    };
    this.#log(unordered.has(fop) ? gfid : null, redo);
    if (given.sync === true && gfid) this.sync(gfid, false);
  }

  /** fsync: the file's data, and the journal up to here. */
  sync(gfid: Gfid, directoryOnly: boolean): void {
    for (const entry of this.#journal)
      if (entry.dataOf === null || (entry.dataOf === gfid && !directoryOnly)) entry.synced = true;
  }

  /** sync(2). */
  syncAll(): void {
    for (const entry of this.#journal) entry.synced = true;
  }

  /** The process died; with `power` also what the kernel had not written. Returns how much was lost. */
  crash(power: boolean, random: SeededRandom): { metadata: number; data: number } {
    const kept = power ? this.#survivors(random) : this.#journal;
    const lost = this.#journal.filter((entry) => !kept.includes(entry));
    this.#image = this.#newImage(power || this.index.isOtherBoot());
    this.#journal = kept;
    this.#redoing = true;
    this.#image.volume.keepNameless(true);
    for (const entry of kept) {
      entry.redo(this.#image);
      entry.synced = true;
    }
    this.#image.volume.keepNameless(false);
    this.#redoing = false;
    const data = lost.filter((entry) => entry.dataOf !== null).length;
    return { metadata: lost.length - data, data };
  }

  /** Another one takes its place, with nothing but marks on its root. */
  replace(call: Call, marks: Xattrs): void {
    this.#journal = [];
    this.#image = this.#newImage();
    const args: Args<'setxattr'> = { loc: locOf(rootGfid), xattrs: marks, flags: 0 };
    // It does all it does before it first waits.
    void this.ops.setxattr!(call, args);
    this.did('setxattr', call, args, 0);
    this.index.add('xattrop', rootGfid);
    this.syncAll();
  }

  #survivors(random: SeededRandom): Entry[] {
    const now = this.#nowMs();
    const isSafe = (entry: Entry) =>
      entry.synced || now - entry.atMs >= (entry.dataOf === null ? journalCommitMs : writebackMs);
    const ordered = this.#journal.filter((entry) => entry.dataOf === null);
    const safe = ordered.findLastIndex(isSafe) + 1;
    const end = safe + random.integer(ordered.length - safe + 1);
    const lost = new Set(ordered.slice(end));
    return this.#journal.filter((entry) =>
      entry.dataOf === null ? !lost.has(entry) : isSafe(entry) || random.chance(0.5),
    );
  }
}

/** Whether a fop changes what is on disk. */
export function changes(fop: FopName): boolean {
  const { class: touches } = fops[fop];
  return (touches === 'data' || touches === 'metadata' || touches === 'entry') && fop !== 'fsync' && fop !== 'fsyncdir';
}
