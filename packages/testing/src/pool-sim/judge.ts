/**
 * Sees every batch that reaches a disk, and says what must not be: two values decided for a version, documents that are not
 * what the decided changes make, a version applied that nobody decided, a change lost, an update made on an old state.
 */
import { compareBallots } from '@mortar/glusterd/pool/ballot.ts';
import type { StoredDocument } from '@mortar/glusterd/pool/storage.ts';
import type { Ballot, DocumentChange, Proposal } from '@mortar/glusterd/pool/types.ts';
import type { Durable } from './disk.ts';

interface Options {
  readonly version: number;
  readonly options: { readonly last?: string };
}

type Documents = ReadonlyMap<string, StoredDocument>;

export function membersOf(documents: Documents): string[] {
  return [...documents.values()].flatMap(({ key, value }) =>
    key.startsWith('peer/') && value !== null ? [key.slice('peer/'.length)] : [],
  );
}

function canonical(documents: Documents): string {
  return JSON.stringify([...documents.values()].sort((a, b) => (a.key < b.key ? -1 : 1)).map(inOrder));
}

function inOrder({ key, value, version }: StoredDocument) {
  return [key, value, version];
}

export class Judge {
  readonly problems: string[] = [];
  /** What each version is, by the decided changes alone. */
  readonly states = new Map<number, Documents>();
  readonly #texts = new Map<number, string>();
  readonly #decided = new Map<number, string>();
  /** Who has accepted what: by version, ballot and value. */
  readonly #accepted = new Map<string, Set<string>>();
  /** Ids of operations, with the version that has them. */
  readonly done = new Map<string, number>();
  #barred: Ballot | null = null;
  readonly #say: (text: string) => void;

  constructor(pool: string, version: number, documents: Documents, say: (text: string) => void) {
    this.pool = pool;
    this.latest = version;
    this.#say = say;
    this.#remember(version, documents);
  }

  readonly pool: string;
  latest: number;

  problem(text: string): void {
    this.problems.push(text);
    this.#say(`PROBLEM ${text}`);
  }

  /** A batch is on the disk of a node. */
  changed(node: string, before: Durable, after: Durable): void {
    if (compareBallots(after.state.promised, before.state.promised) < 0)
      this.problem(`${node} went back behind its promise`);
    if (after.state.pool !== this.pool) return;
    const { accepted, version } = after.state;
    if (accepted && accepted !== before.state.accepted) this.#accepts(node, accepted, before.documents);
    if (version === before.state.version && before.state.pool === this.pool) return;
    if (before.state.pool === this.pool && version < before.state.version)
      this.problem(`${node} went from version ${before.state.version} back to ${version}`);
    const expected = this.#texts.get(version);
    if (expected === undefined) this.problem(`${node} is at version ${version}, which was never decided`);
    else if (expected !== canonical(after.documents))
      this.problem(`${node} at version ${version} has ${canonical(after.documents)}, not ${expected}`);
  }

  /** The lock was broken with that ballot: who had a lower one commits nothing any more. */
  broken(ballot: Ballot): void {
    if (compareBallots(ballot, this.#barred) > 0) this.#barred = ballot;
  }

  /** An operation was told that its change is made. */
  acknowledged(id: string): void {
    if (!this.done.has(id)) this.problem(`${id} was acknowledged but not decided`);
  }

  #accepts(node: string, proposal: Proposal, documents: Documents): void {
    const members = membersOf(documents);
    if (!members.includes(node)) return;
    const { version, ballot, changes } = proposal;
    const value = JSON.stringify(changes);
    const key = JSON.stringify([version, ballot.round, ballot.node, value]);
    const voters = this.#accepted.get(key) ?? new Set();
    voters.add(node);
    this.#accepted.set(key, voters);
    // More than half: written down here once more on purpose.
    if (2 * [...voters].filter((one) => members.includes(one)).length > members.length)
      this.#decide(version, changes, ballot);
  }

  #decide(version: number, changes: readonly DocumentChange[], ballot: Ballot): void {
    const value = JSON.stringify(changes);
    const before = this.#decided.get(version);
    if (before !== undefined) {
      if (before !== value) this.problem(`version ${version} was decided as ${before} and as ${value}`);
      return;
    }
    this.#decided.set(version, value);
    if (compareBallots(ballot, this.#barred) < 0)
      this.problem(
        `version ${version} was decided with ballot ${ballot.round} after ${this.#barred?.round} broke the lock`,
      );
    const base = this.states.get(version - 1);
    if (!base) {
      this.problem(`version ${version} was decided before ${version - 1}`);
      return;
    }
    this.#checkUpdate(version, base, changes);
    const after = new Map(base);
    for (const change of changes) after.set(change.key, { key: change.key, value: change.value, version });
    this.latest = version;
    this.#remember(version, after);
    this.#say(`decided ${version}: ${value}`);
  }

  /** Each operation counts up what it has read: one that read an old state would count the same again. */
  #checkUpdate(version: number, base: Documents, changes: readonly DocumentChange[]): void {
    const now = changes.find(({ key }) => key === 'globals')?.value as Options | undefined;
    if (!now) return;
    const was = base.get('globals')?.value as Options;
    if (now.version !== was.version + 1)
      this.problem(`version ${version} counts ${now.version} after ${was.version}: an update was lost`);
    const id = now.options.last!;
    if (this.done.has(id)) this.problem(`${id} was decided as version ${this.done.get(id)} and ${version}`);
    this.done.set(id, version);
  }

  #remember(version: number, documents: Documents): void {
    this.states.set(version, documents);
    this.#texts.set(version, canonical(documents));
  }
}
