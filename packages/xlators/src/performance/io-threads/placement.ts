/**
 * Where a call runs. Pure: durations go in, decisions come out.
 *
 * Calls are grouped by the directory (calls on names) or file they are about. A group whose synchronous calls blocked the
 * event loop for long is slow: its calls go elsewhere for a while, then one is tried inline again (a probe).
 * Groups never seen before share a memory of how the last newcomers fared, so that a walk through a cold tree does
 * not stall once for each directory.
 */

export type Where = 'inline' | 'probe' | 'offload';

export interface PlacementSettings {
  /** One synchronous call this long makes its group slow. */
  slowMs: number;
  /** So does this moving average. */
  slowAverageMs: number;
  /** How long a group is kept off the loop after the first slow call; doubled each time the probe is slow again. */
  firstRestMs: number;
  longestRestMs: number;
  /** Groups remembered; the one not used for longest is forgotten. */
  groupsMax: number;
}

export const defaultPlacement: PlacementSettings = {
  slowMs: 3,
  slowAverageMs: 1,
  firstRestMs: 200,
  longestRestMs: 5000,
  groupsMax: 8192,
};

/** Weight of the newest duration in the moving average. */
const weight = 0.3;

class Group {
  averageMs = 0;
  slow = false;
  /** While slow: when to probe. */
  restUntilMs = 0;
  restMs = 0;
  probing = false;
}

export class Placement {
  readonly #settings: PlacementSettings;
  /** In the order of use. */
  readonly #groups = new Map<string, Group>();
  readonly #newcomers = new Group();

  constructor(settings: PlacementSettings = defaultPlacement) {
    this.#settings = settings;
  }

  /** Where a call of these groups is to run. After `probe` and `inline` a call of `blocked` must follow. */
  decide(keys: readonly string[], nowMs: number): Where {
    let where: Where = 'inline';
    const due: Group[] = [];
    for (const key of keys) {
      const group = this.#groups.get(key) ?? this.#newcomers;
      if (!group.slow) continue;
      if (group.probing || nowMs < group.restUntilMs) return 'offload';
      due.push(group);
      where = 'probe';
    }
    for (const group of due) group.probing = true;
    return where;
  }

  /** A call of these groups ran inline and blocked the loop for so long. */
  blocked(keys: readonly string[], ms: number, nowMs: number): void {
    for (const key of keys) {
      const known = this.#groups.get(key);
      if (!known || this.#newcomers.probing) this.#sample(this.#newcomers, ms, nowMs);
      this.#sample(this.#use(key, known), ms, nowMs);
    }
  }

  /** A call of these groups ran elsewhere and took so long, including the way there and back. */
  offloaded(keys: readonly string[], ms: number, nowMs: number): void {
    for (const key of keys) {
      const known = this.#groups.get(key);
      const group = this.#use(key, known);
      // What was met off the loop for the first time stays there until it has been quick once.
      if (!known) this.#rest(group, nowMs);
      if (ms < this.#settings.slowAverageMs) group.restUntilMs = Math.min(group.restUntilMs, nowMs);
    }
  }

  isSlow(key: string): boolean {
    return (this.#groups.get(key) ?? this.#newcomers).slow;
  }

  get groups(): number {
    return this.#groups.size;
  }

  slowGroups(): number {
    let count = 0;
    for (const group of this.#groups.values()) if (group.slow) count++;
    return count;
  }

  #use(key: string, known: Group | undefined): Group {
    const group = known ?? new Group();
    this.#groups.delete(key);
    this.#groups.set(key, group);
    if (this.#groups.size > this.#settings.groupsMax) {
      const [oldest] = this.#groups.keys();
      this.#groups.delete(oldest!);
    }
    return group;
  }

  #sample(group: Group, ms: number, nowMs: number): void {
    const { slowMs, slowAverageMs } = this.#settings;
    group.averageMs += (ms - group.averageMs) * weight;
    const slow = ms >= slowMs || (!group.probing && group.averageMs >= slowAverageMs);
    if (slow) this.#rest(group, nowMs);
    else if (group.slow && group.probing) this.#recover(group, ms);
    group.probing = false;
  }

  #rest(group: Group, nowMs: number): void {
    const { firstRestMs, longestRestMs } = this.#settings;
    // Calls that were under way when the group turned slow do not make its rest longer.
    if (group.slow && nowMs < group.restUntilMs) return;
    group.restMs = group.slow ? Math.min(longestRestMs, group.restMs * 2) : firstRestMs;
    group.slow = true;
    group.restUntilMs = nowMs + group.restMs;
  }

  #recover(group: Group, ms: number): void {
    group.slow = false;
    group.averageMs = ms;
  }
}
