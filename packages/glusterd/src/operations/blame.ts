/**
 * A replica set that gets an empty brick must know, before any client sees that brick, that everything is to be healed
 * towards it: the others blame it at the root in data, metadata and entries (docs/management.md).
 */
import { parseBool } from '@mortar/core';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { bricksElsewhere, onSite } from '../pool/sites.ts';
import { type BrickInfo, setSize, type VolumeInfo } from '../volume.ts';
import { brickName } from './volumes.ts';

/** Undoes what was done so far. */
export type Undo = () => Promise<void>;

/**
 * `volume` is the volume as it will be, `fresh` are those of its bricks that are empty. In each set the other data
 * bricks blame them: a running one by its process, one that does not run in its directory.
 * Throws OperationError when nobody in a set that runs could be told.
 */
export async function blameFresh(context: Context, volume: VolumeInfo, fresh: readonly BrickInfo[]): Promise<Undo> {
  const done: { brick: BrickInfo; names: string[] }[] = [];
  const counters = pendingCounters(volume);
  const undo: Undo = async () => {
    const less = counters.map((count) => -count);
    for (const { brick, names } of done.splice(0)) await tell(context, volume, brick, names, less);
  };
  for (const { empty, others } of setsWith(volume, fresh)) {
    const names = empty.map((brick) => `trusted.afr.${brick.brickId}`);
    let told = 0;
    for (const brick of others) {
      if (!(await tell(context, volume, brick, names, counters))) continue;
      done.push({ brick, names });
      told++;
    }
    if (told > 0) continue;
    await undo();
    throw new OperationError(
      `No other data brick of the replica set of ${brickName(empty[0]!)} can be reached: its files would be lost`,
    );
  }
  return undo;
}

/** Of data, metadata and entries. The data counter of a directory tells granular healing that all names are meant. */
function pendingCounters(volume: VolumeInfo): readonly number[] {
  const isGranular = parseBool(volume.options['cluster.granular-entry-heal'] ?? 'off') === true;
  return [isGranular ? 1 : 0, 1, 1];
}

function setsWith(volume: VolumeInfo, fresh: readonly BrickInfo[]): { empty: BrickInfo[]; others: BrickInfo[] }[] {
  if (volume.type !== 'replicate') return [];
  const ids = new Set(fresh.map((brick) => brick.brickId));
  const size = setSize(volume);
  const sets = [];
  for (let at = 0; at < volume.bricks.length; at += size) {
    const set = volume.bricks.slice(at, at + size);
    const empty = set.filter((brick) => ids.has(brick.brickId));
    // What an arbiter knows of names and attributes is not enough to heal a file from.
    const holders = volume.arbiterCount > 0 ? set.slice(0, -1) : set;
    if (empty.length > 0) sets.push({ empty, others: holders.filter((brick) => !ids.has(brick.brickId)) });
  }
  return sets;
}

async function tell(
  context: Context,
  volume: VolumeInfo,
  brick: BrickInfo,
  names: string[],
  counters: readonly number[],
): Promise<boolean> {
  const { supervisor, inspector, log } = context;
  try {
    if (bricksElsewhere(context, [brick]).size > 0) {
      const params = { volume, brick: brick.brickId, names, counters: [...counters] };
      await onSite(context, brick.hostUuid, 'blame', params);
      return true;
    }
    const { online } = await supervisor.brickState(volume, brick);
    if (online) z.object({}).parse(await supervisor.askBrick(volume, brick, 'brick.blame', { names, counters }));
    else inspector.blameAtRoot(brick.path, names, counters);
    return true;
  } catch (error) {
    log.write('WARNING', 'management', `${brickName(brick)} cannot blame ${names}: ${(error as Error).message}`);
    return false;
  }
}
