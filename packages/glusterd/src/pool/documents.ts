/** The documents of the pool in memory, with the version that changed each last. */
import { PoolError } from './errors.ts';
import type { StoredDocument } from './storage.ts';
import type { Changes, DocumentChange } from './types.ts';

/** A page of `changes` ends with the version that reaches one of these. */
export const pageDocuments = 256;
export const pageBytes = 1024 * 1024;
const peerPrefix = 'peer/';

export function peerKey(node: string): string {
  return `${peerPrefix}${node}`;
}

export function isPeerKey(key: string): boolean {
  return key.startsWith(peerPrefix);
}

export class PoolDocuments {
  readonly #documents = new Map<string, StoredDocument>();

  constructor(documents: Iterable<StoredDocument>) {
    for (const document of documents) this.#documents.set(document.key, document);
  }

  get(key: string): unknown {
    return this.#documents.get(key)?.value ?? null;
  }

  /** Those that are there. */
  live(): StoredDocument[] {
    return [...this.#documents.values()].filter(({ value }) => value !== null);
  }

  /** Uuids of the members; of a node that is in no pool: none. */
  peers(): string[] {
    return this.live()
      .filter(({ key }) => key.startsWith(peerPrefix))
      .map(({ key }) => key.slice(peerPrefix.length))
      .sort();
  }

  /** Whether a node was a member once, and is none. */
  wasPeer(node: string): boolean {
    return this.#documents.get(peerKey(node))?.value === null;
  }

  with(documents: readonly StoredDocument[]): PoolDocuments {
    return new PoolDocuments([...this.#documents.values(), ...documents]);
  }

  /** What changed after a version; cut where it gets long, but never within one version. */
  page(since: number, version: number): Changes {
    const changed = [...this.#documents.values()].filter((document) => document.version > since);
    changed.sort((a, b) => a.version - b.version || (a.key < b.key ? -1 : 1));
    let bytes = 0;
    for (const [i, document] of changed.entries()) {
      const isNewVersion = i > 0 && changed[i - 1]!.version !== document.version;
      if (isNewVersion && (i >= pageDocuments || bytes >= pageBytes))
        return { version: changed[i - 1]!.version, documents: changed.slice(0, i) };
      bytes += JSON.stringify(document.value).length;
    }
    return { version, documents: changed };
  }

  /** Majorities before and after a change must overlap: throws PoolError if it makes or removes more than one member. */
  checkMembership(changes: readonly DocumentChange[]): void {
    const isChanged = ({ key, value }: DocumentChange) =>
      key.startsWith(peerPrefix) && (value === null) !== (this.get(key) === null);
    if (changes.filter(isChanged).length > 1)
      throw new PoolError('members of the pool are made and removed one at a time');
  }
}
