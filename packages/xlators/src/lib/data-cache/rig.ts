/** For tests of caches of data: one file below, whose every change has a time of its own, and caches over it. */
import {
  emptyIatt,
  FileType,
  type FopName,
  type Gfid,
  type Iatt,
  type OptionTable,
  parseOptions,
  type Subvolume,
  type XlatorType,
} from '@mortar/core';
import { RigChild, type RigServices, rigCall, rigServices } from '../translator-rig.ts';
import type { DataCache } from './data-cache.ts';

export const gfid = '11111111-1111-4111-8111-111111111111' as Gfid;
export const call = rigCall('client');
const O_TRUNC = 0o1000;

/** The file, on a brick that gives contents with an open. */
export class FileModel {
  data = Buffer.alloc(0);
  #changes = 0;
  /** Whether the replicas agree on what it is. */
  agrees = true;
  readonly answers: RigChild['answers'] = {
    open: async (_call, { flags, contents = 0 }) => {
      if (flags & O_TRUNC) this.truncate(0);
      if (!this.agrees) return { ok: true };
      const { length } = this.data;
      const comes = length > 0 && length <= contents;
      return { ok: true, iatt: this.iatt(), ...(comes && { data: Buffer.from(this.data) }) };
    },
    readv: async (_call, { size, offset }) => ({
      ok: true,
      data: this.data.subarray(offset, offset + size),
      iatt: this.iatt(),
    }),
    fstat: async () => ({ ok: true, iatt: this.iatt() }),
    writev: async (_call, { offset, data, append }) => {
      const changed = this.#changing(() => this.write(append ? this.data.length : offset, data));
      return { ...changed, written: data.length };
    },
    ftruncate: async (_call, { size }) => this.#changing(() => this.truncate(size)),
    fallocate: async (_call, { size, offset }) => this.#changing(() => this.write(offset, Buffer.alloc(size))),
  };

  #changing(change: () => void): { ok: true; pre: Iatt; post: Iatt } {
    const pre = this.iatt();
    change();
    return { ok: true, pre, post: this.iatt() };
  }

  set(data: Buffer<ArrayBuffer>): void {
    this.data = data;
    this.#changes++;
  }

  write(offset: number, data: Uint8Array): void {
    const grown = Buffer.alloc(Math.max(this.data.length, offset + data.length));
    grown.set(this.data);
    grown.set(data, offset);
    this.set(grown);
  }

  truncate(size: number): void {
    const resized = Buffer.alloc(size);
    resized.set(this.data.subarray(0, size));
    this.set(resized);
  }

  iatt(): Iatt {
    const time = this.#changes + 1;
    return { ...emptyIatt(gfid, FileType.regular), size: this.data.length, mtime: time, ctime: time };
  }
}

export interface CacheRig {
  /** Of the uppermost cache. */
  readonly ops: Subvolume;
  readonly model: FileModel;
  readonly child: RigChild;
  readonly services: RigServices;
  /** From the lowest one. */
  readonly caches: readonly DataCache[];
}

/** So many caches over each other. */
export function cacheRig<T extends OptionTable>(
  type: XlatorType<T>,
  options: Record<string, string> = {},
  count = 1,
): CacheRig {
  const services = rigServices();
  const model = new FileModel();
  const child = new RigChild({ name: 'below', type: 'test/child', options: {}, texts: new Map(), services });
  child.answers = model.answers;
  child.bind([], undefined);
  const texts = new Map(Object.entries(options));
  const { values } = parseOptions(type.options, texts);
  const caches: DataCache[] = [];
  for (let i = 0; i < count; i++) {
    const below = caches.at(-1) ?? child;
    const cache = type.create({ name: `cache-${i}`, type: type.type, options: values, texts, services }) as DataCache;
    cache.bind([below.ops], undefined);
    below.parents = [cache];
    caches.push(cache);
  }
  return { ops: caches.at(-1)!.ops, model, child, services, caches };
}

export function asked({ child }: CacheRig, fop: FopName): number {
  return child.calls.filter((one) => one.fop === fop).length;
}
