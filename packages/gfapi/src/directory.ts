/** A listing, as node's Dir. */
import { type ByteString, type Dirent, FileType, type Reply } from '@mortar/core';
import type { CallOptions, Client, Identity } from './client.ts';
import { must } from './errors.ts';
import type { GraphFile } from './graph-file.ts';
import { type NameEncoding, nameAs } from './paths.ts';
import { VolumeDirent } from './stats.ts';

/** What is fetched at a time. */
const batchBytes = 64 * 1024;

/** The entries behind `offset`, without `.` and `..`; null at the end. A batch may be empty. */
export async function batch(
  file: GraphFile,
  offset: number,
  options?: CallOptions,
): Promise<{ ok: true; entries: Dirent[]; next: number | null } | { ok: false; errno: number }> {
  const reply: Reply<'readdir'> = await file.run(
    (top, call, fd) => top.readdir(call, { fd, size: batchBytes, offset }),
    options,
  );
  if (!reply.ok) return reply;
  const last = reply.entries.at(-1);
  const entries = reply.entries.filter(({ name }) => name !== '.' && name !== '..');
  // An answer with neither entries nor an end would make a loop for ever.
  const isEnd = reply.end || !last || last.offset === offset;
  return { ok: true, entries, next: isEnd ? null : last.offset };
}

/** All entries of an open directory. */
export async function* entriesOf(file: GraphFile, syscall: string, path: string, options?: CallOptions) {
  for (let offset: number | null = 0; offset !== null; ) {
    const { entries, next }: { entries: Dirent[]; next: number | null } = must(
      await batch(file, offset, options),
      syscall,
      { path },
    );
    yield* entries;
    offset = next;
  }
}

/** The type of an entry; file systems need not say it in listings. */
export async function typeOf(client: Client, who: Identity, file: GraphFile, entry: Dirent): Promise<number> {
  if (entry.type !== FileType.unknown) return entry.type;
  const loc = { gfid: null, parent: file.gfid, name: entry.name as ByteString };
  const reply = await client.run(who, undefined, (top, call) => top.lookup(call, { loc }));
  return reply.ok ? reply.iatt.type : FileType.unknown;
}

export class VolumeDir implements AsyncDisposable {
  readonly path: string;
  readonly #file: GraphFile;
  readonly #entries: AsyncGenerator<Dirent, void, undefined>;
  readonly #encoding: NameEncoding;
  #isClosed = false;

  constructor(file: GraphFile, path: string, encoding: NameEncoding, options?: CallOptions) {
    this.path = path;
    this.#file = file;
    this.#encoding = encoding;
    this.#entries = entriesOf(file, 'scandir', path, options);
  }

  /** The next entry, or null. */
  async read(): Promise<VolumeDirent<string | Buffer> | null> {
    if (this.#isClosed) throw closedError();
    const next = await this.#entries.next();
    if (next.done) return null;
    const entry = next.value;
    const type = await typeOf(this.#file.client, this.#file.who, this.#file, entry);
    return new VolumeDirent(nameAs(entry.name, this.#encoding), this.path, type, entry.gfid);
  }

  async close(): Promise<void> {
    if (this.#isClosed) throw closedError();
    this.#isClosed = true;
    await this.#file.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<VolumeDirent<string | Buffer>, void, undefined> {
    try {
      for (let entry = await this.read(); entry; entry = await this.read()) yield entry;
    } finally {
      if (!this.#isClosed) await this.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) await this.close();
  }
}

function closedError(): Error {
  const error = new Error('Directory handle was closed');
  (error as NodeJS.ErrnoException).code = 'ERR_DIR_CLOSED';
  return error;
}
