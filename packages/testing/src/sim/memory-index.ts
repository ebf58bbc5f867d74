/** features/index with its lists in memory: the translator is the real one, only the directories on disk are not there. */
import { type Args, asErrno, type ByteString, type Call, fail, type Gfid, type Reply } from '@mortar/core';
import { IndexXlator } from '@mortar/xlators/features/index/index.ts';
import type { IndexKind, IndexStore } from '@mortar/xlators/features/index/index-store.ts';
import { Listing } from '@mortar/xlators/features/index/listing.ts';
import { parseRequest } from '@mortar/xlators/features/index/requests.ts';

/** The part of IndexStore that the translator uses. */
export type IndexPort = Pick<
  IndexStore,
  | 'add'
  | 'remove'
  | 'has'
  | 'addName'
  | 'removeName'
  | 'removeParent'
  | 'count'
  | 'names'
  | 'isOtherBoot'
  | 'recordBoot'
  | 'close'
>;

export class MemoryIndexStore implements IndexPort {
  readonly #gfids = { xattrop: new Set<Gfid>(), dirty: new Set<Gfid>() };
  readonly #names = new Map<Gfid, Set<ByteString>>();
  /** Told of every change, for the disk's journal. */
  readonly #changed: (redo: (store: MemoryIndexStore) => void) => void;

  #isOtherBoot: boolean;

  /** `isOtherBoot`: the machine was started anew since the brick was. */
  constructor(changed: (redo: (store: MemoryIndexStore) => void) => void = () => {}, isOtherBoot = false) {
    this.#changed = changed;
    this.#isOtherBoot = isOtherBoot;
  }

  isOtherBoot(): boolean {
    return this.#isOtherBoot;
  }

  recordBoot(): number {
    this.#isOtherBoot = false;
    return 0;
  }

  add(kind: 'xattrop' | 'dirty', gfid: Gfid): number {
    this.#gfids[kind].add(gfid);
    this.#changed((store) => store.add(kind, gfid));
    return 0;
  }

  remove(kind: 'xattrop' | 'dirty', gfid: Gfid): number {
    this.#gfids[kind].delete(gfid);
    this.#changed((store) => store.remove(kind, gfid));
    return 0;
  }

  has(kind: IndexKind, gfid: Gfid): boolean {
    return kind === 'entry-changes' ? this.#names.has(gfid) : this.#gfids[kind].has(gfid);
  }

  addName(parent: Gfid, name: ByteString): number {
    const names = this.#names.get(parent);
    if (names) names.add(name);
    else this.#names.set(parent, new Set([name]));
    this.#changed((store) => store.addName(parent, name));
    return 0;
  }

  removeName(parent: Gfid, name: ByteString): number {
    this.#names.get(parent)?.delete(name);
    this.#changed((store) => store.removeName(parent, name));
    return 0;
  }

  removeParent(parent: Gfid): number {
    this.#names.delete(parent);
    this.#changed((store) => store.removeParent(parent));
    return 0;
  }

  count(kind: IndexKind): number {
    return kind === 'entry-changes' ? this.#names.size : this.#gfids[kind].size;
  }

  names(kind: IndexKind, parent: Gfid | undefined, after: ByteString, most: number): ByteString[] {
    const all = kind !== 'entry-changes' ? this.#gfids[kind] : parent ? this.#names.get(parent) : this.#names.keys();
    return [...(all ?? [])]
      .filter((name) => name > after)
      .sort()
      .slice(0, most);
  }

  close(): void {}
}

export class MemoryIndexXlator extends IndexXlator {
  readonly memory: MemoryIndexStore;

  constructor(init: ConstructorParameters<typeof IndexXlator>[0], memory: MemoryIndexStore) {
    super(init);
    this.memory = memory;
  }

  override get store(): IndexStore {
    return this.memory as unknown as IndexStore;
  }

  override async init(): Promise<void> {
    await this.shake();
  }

  override async ipc(call: Call, args: Args<'ipc'>): Promise<Reply<'ipc'>> {
    const request = args.operation === 'index.list' ? parseRequest('index.list', args.data) : undefined;
    if (!request) return super.ipc(call, args);
    const page = new Listing(this.store).page(request.kind, request.parent, request.after, request.limit);
    return typeof page === 'number' ? fail(asErrno(-page)) : { ok: true, data: Buffer.from(JSON.stringify(page)) };
  }
}
