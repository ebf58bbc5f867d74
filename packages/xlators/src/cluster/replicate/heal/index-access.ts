/** The bricks' to-heal index through fop ipc (features/index answers it). */
import { type ByteString, Errno, type Gfid, isGfid } from '@mortar/core';
import type { Replica } from '../replica.ts';
import { isAbsence } from '../replica-set.ts';

export type IndexKind = 'xattrop' | 'dirty' | 'entry-changes';

const pageLength = 1000;

export class HealIndex {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** Gfids that a child's index has; undefined if the child cannot be asked. */
  async gfids(child: number, kind: 'xattrop' | 'dirty'): Promise<Gfid[] | undefined> {
    const names = await this.#list(child, { kind });
    return names?.filter(isGfid);
  }

  /** Names recorded as missed in a directory (granular entry heal). */
  async names(child: number, parent: Gfid): Promise<ByteString[] | undefined> {
    return this.#list(child, { kind: 'entry-changes', parent });
  }

  /** Directories in which names are recorded as missed; undefined if the child cannot be asked. */
  async parents(child: number): Promise<Gfid[] | undefined> {
    const names = await this.#list(child, { kind: 'entry-changes' });
    return names?.filter(isGfid);
  }

  async count(child: number): Promise<number | undefined> {
    const answer = await this.#ask(child, 'index.count', { kind: 'xattrop' });
    return answer && typeof (answer as { count?: unknown }).count === 'number'
      ? (answer as { count: number }).count
      : undefined;
  }

  /** Takes out an entry whose file is gone. */
  async purge(child: number, gfid: Gfid): Promise<void> {
    await this.#ask(child, 'index.purge', { gfid });
  }

  async forgetName(child: number, parent: Gfid, name: ByteString): Promise<void> {
    await this.#ask(child, 'index.forgetName', { parent, name });
  }

  async forgetParent(child: number, parent: Gfid): Promise<void> {
    await this.#ask(child, 'index.forgetParent', { parent });
  }

  async #list(child: number, what: { kind: IndexKind; parent?: Gfid }): Promise<ByteString[] | undefined> {
    const all: ByteString[] = [];
    let after: ByteString | undefined;
    for (;;) {
      const answer = await this.#ask(child, 'index.list', {
        ...what,
        limit: pageLength,
        ...(after === undefined ? {} : { after }),
      });
      const names = (answer as { names?: unknown } | undefined)?.names;
      if (!Array.isArray(names)) return undefined;
      all.push(...names.filter((name): name is string => typeof name === 'string'));
      if (names.length < pageLength) return all;
      after = all.at(-1);
    }
  }

  async #ask(child: number, operation: string, question: object): Promise<unknown> {
    const call = { ...this.#replica.rootCall(), internal: 'self-heal' as const };
    const data = Buffer.from(JSON.stringify(question), 'utf8');
    const reply = await this.#replica.set.windOne(child, 'ipc', call, { operation, data });
    if (!reply.ok) {
      if (!isAbsence(reply.errno) && reply.errno !== Errno.ENOENT)
        this.#replica.warn(`child ${child} cannot answer ${operation}: errno ${reply.errno}`);
      return undefined;
    }
    try {
      return reply.data ? JSON.parse(Buffer.from(reply.data).toString('utf8')) : {};
    } catch {
      this.#replica.warn(`child ${child} answered ${operation} with something that is not JSON`);
      return undefined;
    }
  }
}
