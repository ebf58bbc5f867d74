/** Options of a volume as people set them, drawn from a seed: some change the graph of mounts or bricks, some are taken live. */
import type { SeededRandom } from '@mortar/testing/sim/random.ts';

const isOn = ['on', 'off'];

/** Translators come and go: mounts, or bricks, get a new graph. */
const graphOptions: Readonly<Record<string, readonly string[]>> = {
  'performance.io-cache': isOn,
  'performance.quick-read': isOn,
  'performance.stat-prefetch': isOn,
  'performance.write-behind': isOn,
  'performance.client-io-threads': isOn,
  'features.ctime': isOn,
  'features.acl': isOn,
  'debug.trace': ['client', 'locks', 'off'],
  'client.own-thread': isOn,
};

/** Taken by what runs. None of them lets an operation fail, and none gives caches more memory than they have by default. */
const liveOptions: Readonly<Record<string, readonly string[]>> = {
  'performance.cache-size': ['8MB', '16MB', '32MB'],
  'performance.cache-refresh-timeout': ['1', '3', '10'],
  'performance.md-cache-timeout': ['1', '10', '600'],
  'performance.write-behind-window-size': ['512KB', '1MB', '4MB'],
  'performance.flush-behind': isOn,
  'performance.strict-o-direct': isOn,
  'performance.io-thread-count': ['4', '16', '32'],
  'network.ping-timeout': ['20', '42', '60'],
  'network.frame-timeout': ['600', '1800'],
  'server.outstanding-rpc-limit': ['32', '64', '128'],
  'server.manage-gids': isOn,
  'diagnostics.client-log-level': ['INFO', 'WARNING', 'ERROR'],
  'diagnostics.brick-log-level': ['INFO', 'WARNING', 'ERROR'],
  'diagnostics.latency-measurement': isOn,
  'diagnostics.count-fop-hits': isOn,
  'storage.health-check-interval': ['10', '30'],
  'storage.reserve': ['0', '1'],
  'features.cache-invalidation': isOn,
  'features.locks-notify-contention-delay': ['1', '5'],
  'cluster.lookup-optimize': isOn,
  'cluster.min-free-disk': ['1%', '2%'],
  'user.note': ['a', 'b', 'c'],
};

const replicaOptions: Readonly<Record<string, readonly string[]>> = {
  'cluster.eager-lock': isOn,
  'cluster.ensure-durability': isOn,
  'cluster.post-op-delay-secs': ['0', '1', '2'],
  'cluster.read-hash-mode': ['0', '1', '2', '3'],
  'cluster.choose-local': isOn,
  'cluster.data-self-heal': isOn,
  'cluster.self-heal-daemon': isOn,
  'cluster.heal-timeout': ['60', '600'],
};

/** What goes after `gluster volume`. */
export type Words = readonly string[];

export class RandomSets {
  readonly #random: SeededRandom;
  readonly #volume: string;
  readonly #live: readonly (readonly [string, readonly string[]])[];
  /** Of the options that are set, by key. */
  readonly #values = new Map<string, string>();

  constructor(random: SeededRandom, volume: string, isReplicated: boolean) {
    this.#random = random;
    this.#volume = volume;
    this.#live = Object.entries({ ...liveOptions, ...(isReplicated ? replicaOptions : {}) });
  }

  /** The next change: one option, two at once, or a reset. It is never what is set already. */
  next(): Words {
    if (this.#values.size > 0 && this.#random.chance(0.15)) return this.#reset();
    const first = this.#option();
    const second = this.#random.chance(0.15) ? this.#option() : first;
    const pairs = new Map([first, second]);
    for (const [key, value] of pairs) this.#values.set(key, value);
    return ['set', this.#volume, ...[...pairs].flat()];
  }

  /** All options as they were in the beginning. */
  end(): Words {
    this.#values.clear();
    return ['reset', this.#volume];
  }

  #reset(): Words {
    const key = this.#random.pick([...this.#values.keys()]);
    this.#values.delete(key);
    return ['reset', this.#volume, key];
  }

  #option(): [string, string] {
    const [key, values] = this.#random.pick(this.#random.chance(0.5) ? Object.entries(graphOptions) : this.#live);
    return [key, this.#random.pick(values.filter((value) => value !== this.#values.get(key)))];
  }
}
