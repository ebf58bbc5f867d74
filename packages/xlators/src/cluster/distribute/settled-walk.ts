/**
 * The last walk of a rebalance: directories in which it has nothing left to do get the volume's commit hash (settled.ts). What files other processes have
 * yet to move stays unsettled for them: the last one finds it settled.
 */
import type { Gfid } from '@mortar/core';
import type { GfidList } from './gfid-list.ts';
import { changedCommit } from './layout.ts';
import { markSettled } from './settled.ts';
import { giveVolumeCommit } from './volume-commit.ts';
import type { Walk } from './walk.ts';

const directoriesAtATime = 8;

/** Before any layout is changed. False: there is no commit hash to give (option commit-hash), or not everywhere. */
export async function beginSettling({ d, call }: Walk): Promise<boolean> {
  const commit = d.options['commit-hash'];
  if (commit <= changedCommit) return false;
  if (d.volumeCommit === commit || (await giveVolumeCommit(d, call(), commit))) return true;
  d.warn(`rebalance: not all subvolumes have taken the volume's commit hash: lookup-optimize will not help`);
  return false;
}

export async function settleAll(by: Walk, directories: GfidList): Promise<'completed' | 'stopped' | 'failed'> {
  const { d } = by;
  const counts = { settled: 0, unsettled: 0, gone: 0 };
  const one = async (gfid: Gfid) => {
    counts[await markSettled(d, by.call(), gfid, by.isStopping)]++;
  };
  let batch: Gfid[] = [];
  for (const gfid of directories) {
    if (by.isStopping()) return 'stopped';
    if (d.someDown) return by.fail('a subvolume is down');
    const rest = by.rest();
    if (rest) await rest;
    batch.push(gfid);
    if (batch.length < directoriesAtATime) continue;
    await Promise.all(batch.map(one));
    batch = [];
  }
  await Promise.all(batch.map(one));
  const { settled, unsettled } = counts;
  const text = `${settled} directories have the commit hash of the volume, ${unsettled} have names that are not where they hash to (yet)`;
  d.services.log.write('INFO', d.name, `Rebalance: ${text}`);
  return by.isStopping() ? 'stopped' : 'completed';
}
