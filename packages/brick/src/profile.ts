/** `volume profile V info`: the brick's statistics, fops by the names that people use. */
import type { IoStats } from '@mortar/xlators/debug/io-stats/index.ts';
import type { ProfileInfo, ProfileSection } from '@mortar/xlators/debug/io-stats/profile.ts';
import { glusterFopName } from '@mortar/xlators/lib/fop-names.ts';

export type ProfileWhat = 'all' | 'cumulative' | 'incremental' | 'clear';

/** With `peek` the interval goes on. The statistics that stand highest in the graph are the brick's. */
export function brickProfile(statistics: readonly IoStats[], what: ProfileWhat, peek: boolean) {
  const stats = statistics.at(-1);
  if (!stats) return {};
  return named(ask(stats, what, peek));
}

function ask(stats: IoStats, what: ProfileWhat, peek: boolean): ProfileInfo {
  if (what === 'clear' || what === 'cumulative') return stats.profile(what);
  if (!peek) return stats.profile(what === 'all' ? 'info' : 'incremental');
  return { ...(what === 'all' && stats.profile('cumulative')), ...stats.profile('peek') };
}

function named({ cumulative, interval, cleared }: ProfileInfo) {
  return {
    ...(cumulative && { cumulative: section(cumulative) }),
    ...(interval && { interval: { ...section(interval), number: interval.number } }),
    ...(cleared && { cleared }),
  };
}

/** Notices to clients are rows as well: they have hits, but no latency. */
function section({ fops, upcalls, ...one }: ProfileSection) {
  return {
    ...one,
    fops: [
      ...fops.map(({ fop, ...numbers }) => ({ fop: glusterFopName(fop), ...numbers })),
      ...upcalls.map(({ name, hits }) => ({ fop: name, hits, avgMicros: 0, minMicros: 0, maxMicros: 0 })),
    ],
  };
}
