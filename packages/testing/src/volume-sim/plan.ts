/** What a seed makes of a run of a distributed volume. */
import { SeededRandom } from '../sim/random.ts';

export const faultKinds = [
  'cut',
  'brick-kill',
  'slow-disk',
  'pause',
  'mover-kill',
  'mover-pause',
  'client-kill',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/**
 * How processes that move files side by side share them: each has children of its own, all share each child by the gfids, or each takes all files
 * for its own, as may be for a moment when one was started again.
 */
export const shareKinds = ['apart', 'turns', 'same'] as const;
export type ShareKind = (typeof shareKinds)[number];

export interface Plan {
  readonly clients: number;
  readonly options: Readonly<Record<string, string>>;
  readonly faults: readonly FaultKind[];
  readonly thinkMs: number;
  /** Milliseconds between faults, on average. */
  readonly faultEveryMs: number;
  /** Faults end then, and whatever is going on comes to its end. */
  readonly faultsMs: number;
  readonly delayMs: [number, number];
  readonly graceMs: number;
  readonly pingMs: number;
  /** Files that a client has at a time. */
  readonly files: number;
  /** Whether clients also make and remove directories. */
  readonly trees: boolean;
  /** Trees have names that others had before, and are renamed. Never drawn by the seed, either. */
  readonly reuses?: boolean;
  /** All clients rename the same few files, too. Never drawn by the seed. */
  readonly rivals?: boolean;
  /** Processes that move files side by side; absent: one. Never drawn by the seed: recorded ones stay what they were. */
  readonly movers?: number;
  readonly shares?: ShareKind;
  /** Clients take new graphs late, each in its own time, while the rebalance has begun and waits for them. */
  readonly late: boolean;
  /** Whether it waits. */
  readonly waits: boolean;
}

/** The option rebalance-share of a mover over these bricks; empty for the only one. */
export function shareText({ movers = 1, shares = 'apart' }: Plan, mover: number, bricks: readonly number[]): string {
  if (movers === 1) return '';
  const parts = { apart: '0/1', turns: `${mover}/${movers}`, same: '0/1' };
  const own = bricks.flatMap((brick, child) => (shares !== 'apart' || brick % movers === mover ? [child] : []));
  return own.map((child) => `${child}:${parts[shares]}`).join(',');
}

/** What was added to the plan draws from a stream of its own: seeds from before go on doing what they did. */
export function laterDraws(seed: number): SeededRandom {
  return new SeededRandom(seed + 2 ** 40);
}

export function planOf(random: SeededRandom, later: SeededRandom, changes: Partial<Plan> = {}): Plan {
  const spread = random.pick([1, 5, 30]);
  const plan: Plan = {
    clients: 2 + random.integer(2),
    options: {
      'lookup-optimize': random.chance(0.7) ? 'on' : 'off',
      'rebal-throttle': random.pick(['lazy', 'normal', 'aggressive']),
    },
    faults: faultKinds.filter(() => random.chance(0.3)),
    thinkMs: random.pick([1, 10, 100]),
    faultEveryMs: random.pick([300, 1000, 3000]),
    faultsMs: random.pick([5_000, 20_000, 60_000]),
    delayMs: [0.05, 0.05 + random.between(0.1, 1) * spread],
    graceMs: random.pick([500, 3000, 10_000]),
    pingMs: random.pick([500, 2000]),
    files: random.pick([4, 12]),
    trees: random.chance(0.5),
    late: later.chance(0.5),
    waits: true,
  };
  return { ...plan, ...changes };
}
