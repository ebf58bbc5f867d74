/**
 * Which of GlusterFS's translators this build has. Data: a type moves from `missingTranslators` to
 * `existingTranslators` when it is written, and everything that refused it or left it out includes it.
 */

export const existingTranslators: ReadonlySet<string> = new Set([
  'storage/posix',
  'features/locks',
  'features/index',
  'features/read-only',
  'features/utime',
  'features/access-control',
  'features/barrier',
  'features/block',
  'features/upcall',
  'features/arbiter',
  'performance/io-threads',
  'performance/io-cache',
  'performance/md-cache',
  'performance/quick-read',
  'performance/write-behind',
  'debug/io-stats',
  'debug/trace',
  'debug/error-gen',
  'debug/delay-gen',
  'protocol/server',
  'protocol/client',
  'cluster/replicate',
  'cluster/distribute',
]);

export interface MissingTranslator {
  /** What it would do, to end the sentence "this build has no ..., which ...". */
  readonly does: string;
  /**
   * Whether a volume that has it switched on works without it. `slower`: its graphs are made without it. `wrong`:
   * they are refused, since data would be placed, protected or shown otherwise than asked for.
   */
  readonly without: 'slower' | 'wrong';
}

export const missingTranslators: Readonly<Record<string, MissingTranslator>> = {
  'cluster/disperse': { does: 'stores files as erasure-coded fragments', without: 'wrong' },
  'cluster/nufa': { does: 'places new files on the local brick', without: 'wrong' },
  'cluster/switch': { does: 'places files by patterns of their names', without: 'wrong' },
  'features/thin-arbiter': { does: 'keeps the votes of many volumes on a third node', without: 'wrong' },
  'features/trash': { does: 'keeps removed files in a trash directory', without: 'wrong' },
  'features/changelog': { does: 'records changes for geo-replication', without: 'wrong' },
  'features/bitrot-stub': { does: 'keeps signatures of files that show silent corruption', without: 'wrong' },
  'features/bit-rot': { does: 'signs files and scrubs them for silent corruption', without: 'wrong' },
  'features/worm': { does: 'keeps files from being changed once they are written', without: 'wrong' },
  'features/leases': { does: 'grants leases to NFS and SMB servers', without: 'wrong' },
  'features/selinux': { does: 'translates SELinux labels between client and brick', without: 'wrong' },
  'features/marker': { does: 'accounts for quota and for changes by time', without: 'wrong' },
  'features/quota': { does: 'enforces limits on directories', without: 'wrong' },
  'features/quotad': { does: 'sums up the usage of directories for quota', without: 'wrong' },
  'features/cdc': { does: 'compresses data on the network', without: 'wrong' },
  'features/namespace': { does: 'tags requests by the top directory they are for', without: 'wrong' },
  'features/sdfs': { does: 'serializes operations on entries of a directory', without: 'wrong' },
  'features/shard': { does: 'splits large files into shards', without: 'wrong' },
  'features/cloudsync': { does: 'moves cold files to an object store', without: 'wrong' },
  'features/quiesce': { does: 'holds requests back while a proxy fails over', without: 'wrong' },
  'features/snapview-client': { does: 'shows snapshots below .snaps', without: 'wrong' },
  'features/snapview-server': { does: 'serves snapshots to be shown below .snaps', without: 'wrong' },
  'mgmt/ganesha': { does: 'exports volumes by NFS-Ganesha', without: 'wrong' },
  'nfs/server': { does: 'exports volumes by NFS version 3', without: 'wrong' },
  'performance/read-ahead': { does: 'reads ahead of sequential readers', without: 'slower' },
  'performance/readdir-ahead': { does: 'reads directories ahead', without: 'slower' },
  'performance/open-behind': { does: 'delays opens until they are needed', without: 'slower' },
  'performance/nl-cache': { does: 'remembers which names do not exist', without: 'slower' },
};

/** Every type that the generator can put into a graph. */
export const allTranslators: ReadonlySet<string> = new Set([
  ...existingTranslators,
  ...Object.keys(missingTranslators),
]);

/** `this build has no features/worm, which keeps ...`. */
export function missingSentence(type: string): string {
  const known = missingTranslators[type];
  return `this build has no ${type} translator${known ? `, which ${known.does}` : ''}`;
}
