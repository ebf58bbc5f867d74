/**
 * Heal by whoever looks a file up, where `data-self-heal`, `metadata-self-heal` or `entry-self-heal` ask for it. Metadata are
 * healed before the answer, so that the next look finds them alike; data and names behind it, since they take their time.
 */
import type { Gfid } from '@mortar/core';
import { changelogOf, type Kind, kinds } from '../changelog.ts';
import type { Replica } from '../replica.ts';
import type { Replies } from '../replica-set.ts';
import { heal } from './healer.ts';
import { HealIndex } from './index-access.ts';
import { healMetadata } from './metadata.ts';
import type { HealContext } from './result.ts';

export interface AccessSettings extends Pick<HealContext, 'windowBytes' | 'algorithm'> {
  readonly kinds: readonly Kind[];
  /** Heals that run at once; a file beyond them is left to the next look. */
  readonly parallel: number;
}

export class AccessHealer {
  readonly #replica: Replica;
  readonly #settings: () => AccessSettings;
  readonly #running = new Set<Gfid>();

  constructor(replica: Replica, settings: () => AccessSettings) {
    this.#replica = replica;
    this.#settings = settings;
  }

  /**
   * What a lookup of this file met. `lacking`: the directory of its name, where not all that answered have the name. Resolves
   * when its answer may go out.
   */
  async saw(gfid: Gfid, replies: Replies<'lookup'>, lacking?: Gfid): Promise<void> {
    const wanted = this.#settings().kinds;
    if (wanted.length === 0) return;
    // Where the file is not, its directory makes it; what is in it then comes after.
    if (lacking !== undefined && wanted.includes('entry')) void this.#start(lacking, heal);
    const pending = this.#pending(replies).filter((kind) => wanted.includes(kind));
    if (pending.length === 0) return;
    const onlyMetadata = pending.length === 1 && pending[0] === 'metadata';
    const healing = this.#start(gfid, onlyMetadata ? healMetadata : heal);
    if (onlyMetadata) await healing;
  }

  #start(gfid: Gfid, run: (context: HealContext, gfid: Gfid) => Promise<unknown>): Promise<void> | undefined {
    const settings = this.#settings();
    if (this.#running.has(gfid) || this.#running.size >= settings.parallel) return undefined;
    this.#running.add(gfid);
    return run(this.#context(settings), gfid)
      .then(
        () => undefined,
        (error: unknown) => this.#replica.warn(`${gfid}: healing it on access broke off: ${String(error)}`),
      )
      .finally(() => this.#running.delete(gfid));
  }

  /** Kinds in which an answering child accuses one that is up. */
  #pending(replies: Replies<'lookup'>): Kind[] {
    const { set } = this.#replica;
    const logs = replies.flatMap((reply) => (reply?.ok ? [changelogOf(reply.xattrs, set.pendingKeys)] : []));
    return kinds.filter((_, at) =>
      logs.some(({ blames }) => blames.some((vector, j) => vector[at] !== 0 && set.isUp(j))),
    );
  }

  #context({ windowBytes, algorithm }: AccessSettings): HealContext {
    const replica = this.#replica;
    const index = new HealIndex(replica);
    return {
      replica,
      index,
      windowBytes,
      algorithm,
      full: false,
      patience: 'try',
      found: (made) => void this.#start(made, heal),
    };
  }
}
