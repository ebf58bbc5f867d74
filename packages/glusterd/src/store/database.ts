/** The documents on disk: one batch a commit, synced; what is read back is checked. */
import { chmodSync, mkdirSync } from 'node:fs';
import type { Level } from 'level';
import { z } from 'zod';
import { type Change, globalsSchema, nodeSchema, peerSchema, type State, volumeDocumentSchema } from './documents.ts';

/** Raised when the form of the documents changes in a way that older builds cannot read. */
const formatVersion = 1;

/** The calls of `level` that are used: any ordered store with atomic batches will do. */
export interface Batches {
  iterator(): AsyncIterable<[string, string]>;
  batch(operations: ({ type: 'put'; key: string; value: string } | { type: 'del'; key: string })[]): Promise<void>;
  close(): Promise<void>;
}

export class StoreError extends Error {
  readonly code = 'ESTORE';
}

/** What is in it (credentials of volumes, tokens of webhooks) is for its owner only. */
export async function openLevel(path: string): Promise<Batches> {
  closeDirectory(path);
  const { Level: Store } = await import('level');
  const level: Level<string, string> = new Store(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
  try {
    await level.open();
  } catch (error) {
    const cause = (error as Error).cause as (Error & { code?: string }) | undefined;
    const text =
      cause?.code === 'LEVEL_LOCKED'
        ? `another process has the database ${path} open: is glusterd running already?`
        : `the database ${path} cannot be opened: ${cause?.message ?? (error as Error).message}`;
    throw new StoreError(text, { cause: error });
  }
  return {
    iterator: () => level.iterator(),
    batch: (operations) => level.batch(operations, { sync: true }),
    close: () => level.close(),
  };
}

function closeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    // One of an earlier version was open to all.
    chmodSync(path, 0o700);
  } catch (error) {
    throw new StoreError(`the database ${path} cannot be made: ${(error as Error).message}`, { cause: error });
  }
}

const schemas = { volume: volumeDocumentSchema, peer: peerSchema };

export class Database {
  readonly #batches: Batches;
  /** What agreement keeps beside the documents, by its own keys. */
  readonly #agreement = new Map<string, unknown>();

  constructor(batches: Batches) {
    this.#batches = batches;
  }

  /** The state of the last commit, or null if there never was one. Throws StoreError on a document that is not valid. */
  async load(): Promise<State | null> {
    const volumes = new Map();
    const peers = new Map();
    let node: State['node'] | undefined;
    let globals: State['globals'] | undefined;
    this.#agreement.clear();
    for await (const [key, text] of this.#batches.iterator()) {
      const [kind, name] = split(key);
      if (kind === 'format') checkFormat(text);
      else if (kind === 'node') node = parse(key, text, nodeSchema);
      else if (kind === 'globals') globals = parse(key, text, globalsSchema);
      else if (kind === 'volume') volumes.set(name, parse(key, text, schemas.volume));
      else if (kind === 'peer') peers.set(name, parse(key, text, schemas.peer));
      else if (kind === 'pool') this.#agreement.set(name, parse(key, text, z.unknown()));
      else throw new StoreError(`the database has a document '${key}' that this build does not know`);
    }
    if (!node) return null;
    return { node, globals: globals ?? { version: 0, options: {} }, volumes, peers };
  }

  /** As of the last commit. */
  get agreement(): ReadonlyMap<string, unknown> {
    return this.#agreement;
  }

  /** All of it or nothing, on disk when it resolves. Null of `agreement` removes. */
  async commit(change: Change, agreement: ReadonlyMap<string, unknown> = new Map()): Promise<void> {
    const operations: Parameters<Batches['batch']>[0] = [
      { type: 'put', key: 'format', value: JSON.stringify(formatVersion) },
    ];
    const put = (key: string, value: unknown) =>
      operations.push(value === null ? { type: 'del', key } : { type: 'put', key, value: JSON.stringify(value) });
    if (change.node) put('node', change.node);
    if (change.globals) put('globals', change.globals);
    for (const [name, volume] of change.volumes ?? [])
      put(`volume/${name}`, volume === null ? null : volumeDocumentSchema.parse(volume));
    for (const [name, peer] of change.peers ?? []) put(`peer/${name}`, peer);
    for (const [name, value] of agreement) put(`pool/${name}`, value);
    await this.#batches.batch(operations);
    for (const [name, value] of agreement) {
      if (value === null) this.#agreement.delete(name);
      else this.#agreement.set(name, value);
    }
  }

  close(): Promise<void> {
    return this.#batches.close();
  }
}

function split(key: string): [string, string] {
  const slash = key.indexOf('/');
  return slash < 0 ? [key, ''] : [key.slice(0, slash), key.slice(slash + 1)];
}

function checkFormat(text: string): void {
  if (Number(text) > formatVersion)
    throw new StoreError(`the database is of version ${text}; this build reads up to version ${formatVersion}`);
}

function parse<S extends z.ZodType>(key: string, text: string, schema: S): z.infer<S> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new StoreError(`document '${key}' of the database is not valid: ${why}`, { cause: error });
  }
}
