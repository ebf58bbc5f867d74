/** What a seed makes of a run: how many take part, which options, which faults, what work. */
import type { SeededRandom } from './random.ts';

export const faultKinds = [
  'cut',
  'partition',
  'half-partition',
  'brick-kill',
  'brick-power',
  'disk-error',
  'disk-full',
  'slow-disk',
  'client-crash',
  'client-pause',
] as const;
/** `new-disk`: a brick's disk is replaced by an empty one. Not drawn by seeds. */
export type FaultKind = (typeof faultKinds)[number] | 'new-disk';

export const workKinds = ['blocks', 'append', 'names', 'unique', 'truncate', 'attributes'] as const;
/**
 * `reopen`: files are opened to be read, and come with their contents. `told`: what replies to all kinds of requests say of a file's
 * size and owner. Not drawn by seeds, whose runs are on record.
 */
export const allWorkKinds = [...workKinds, 'reopen', 'told'] as const;
export type WorkKind = (typeof allWorkKinds)[number];

export const newDisks = ['whole', 'any'] as const;
export type NewDisk = (typeof newDisks)[number];

export interface Plan {
  readonly bricks: number;
  /** The last brick has names and attributes, and no data. Not drawn by seeds. */
  readonly arbiter: boolean;
  /**
   * A disk is replaced, too, whatever the faults that were drawn: where all others are whole, or at any time: what is lost then may leave a
   * file that only a person can decide. Not drawn by seeds.
   */
  readonly newDisk: NewDisk | undefined;
  /** What loses its last name in a heal is kept for a while, as in all volumes since GlusterFS 9. Not drawn by seeds. */
  readonly parking: boolean;
  /** Clocks are fast or slow by up to so much, and set back where a brick is started again. Not drawn by seeds. */
  readonly skewMs: number;
  /** Small files come with their open, and bricks ask before others change them. Not drawn by seeds. */
  readonly delegations: boolean;
  /** Bricks take clients for silent, whether they are or not, and their leases from them when others ask. Not drawn by seeds. */
  readonly silence: boolean;
  readonly clients: number;
  readonly options: Readonly<Record<string, string>>;
  readonly faults: readonly FaultKind[];
  readonly work: readonly WorkKind[];
  /** Operations of each client. */
  readonly operations: number;
  readonly durationMs: number;
  readonly thinkMs: number;
  /** Milliseconds between faults, on average. */
  readonly faultEveryMs: number;
  readonly delayMs: [number, number];
  readonly graceMs: number;
  readonly pingMs: number;
}

export type PlanChanges = Partial<Plan>;

/** What `--skew` asks for: an hour. */
export const largeSkewMs = 3_600_000;

/** The words of `npm run sim` that change a plan so; of what it has words for. */
export function wordsOf({
  bricks,
  arbiter,
  newDisk,
  parking,
  skewMs,
  delegations,
  silence,
  clients,
  faults,
  work,
}: PlanChanges): string {
  const words = [
    bricks && `--bricks ${bricks}`,
    arbiter && '--arbiter',
    newDisk && `--new-disk ${newDisk}`,
    parking && `--parking`,
    skewMs && `--skew`,
    delegations && `--delegations`,
    silence && `--silence`,
    clients && `--clients ${clients}`,
    faults && `--faults ${faults.join()}`,
    work && `--work ${work.join()}`,
  ];
  return words.filter(Boolean).join(' ');
}

export function planOf(random: SeededRandom, changes: PlanChanges = {}): Plan {
  const subset = <T>(all: readonly T[], probability: number): T[] => all.filter(() => random.chance(probability));
  const work = subset(workKinds, 0.4);
  const spread = random.pick([1, 5, 50]);
  const plan: Plan = {
    bricks: 3,
    arbiter: false,
    newDisk: undefined,
    parking: false,
    skewMs: 0,
    delegations: false,
    silence: false,
    clients: 1 + random.integer(3),
    options: {
      'eager-lock': random.chance(0.8) ? 'on' : 'off',
      'post-op-delay-secs': random.pick(['0', '1', '1', '3']),
      // Without it a minority that nobody contradicts is read: a choice for availability, not for what is checked here.
      'granular-entry-heal': random.chance(0.7) ? 'on' : 'off',
      'heal-timeout': random.pick(['5', '10', '30']),
      'data-self-heal-window-size': '1',
    },
    faults: subset(faultKinds, 0.25),
    work: work.length > 0 ? work : [random.pick(workKinds)],
    operations: 15 + random.integer(25),
    durationMs: random.pick([5_000, 15_000, 30_000]),
    thinkMs: random.pick([2, 50, 400]),
    faultEveryMs: random.pick([200, 1000, 3000]),
    delayMs: [0.05, 0.05 + random.between(0.1, 1) * spread],
    graceMs: random.pick([300, 2000, 10_000]),
    pingMs: random.pick([500, 2000]),
  };
  const changed = { ...plan, ...changes };
  return changed.newDisk ? { ...changed, faults: [...changed.faults, 'new-disk'] } : changed;
}
