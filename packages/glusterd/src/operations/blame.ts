/**
 * A replica set that gets an empty brick must know, before any client sees that brick, that everything is to be healed
 * towards it: the others blame it at the root in data, metadata and entries, and it says so itself (docs/management.md).
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

/** In which a brick accuses itself of having nothing yet (docs/replicate.md, Made anew). */
const newbornCount = 0x10000;

/**
 * `volume` is the volume as it will be, `fresh` are those of its bricks that are empty. In each set the other data
 * bricks blame them, and each blames itself: a running one by its process, one that does not run in its directory.
 * Throws OperationError when nobody in a set that runs could be told, or an empty one cannot be marked.
 */
export async function blameFresh(context: Context, volume: VolumeInfo, fresh: readonly BrickInfo[]): Promise<Undo> {
  const done: Blame[] = [];
  const counters = pendingCounters(volume);
  const blame = async (one: Blame): Promise<boolean> => {
    const isTold = await tell(context, volume, one);
    if (isTold) done.push(one);
    return isTold;
  };
  const undo: Undo = async () => {
    for (const one of done.splice(0))
      await tell(context, volume, { ...one, counters: one.counters.map((count) => -count) });
  };
  const giveUp = async (text: string) => {
    await undo();
    throw new OperationError(text);
  };
  for (const { empty, others } of setsWith(volume, fresh)) {
    const names = empty.map(keyOf);
    let told = 0;
    for (const brick of others) if (await blame({ brick, names, counters })) told++;
    if (told === 0)
      await giveUp(
        `No other data brick of the replica set of ${brickName(empty[0]!)} can be reached: its files would be lost`,
      );
    const own = counters.map((count) => count * newbornCount);
    for (const brick of empty)
      if (!(await blame({ brick, names: [keyOf(brick)], counters: own })))
        await giveUp(`${brickName(brick)} cannot be marked as empty: the log has the reason`);
  }
  return undo;
}

interface Blame {
  readonly brick: BrickInfo;
  readonly names: readonly string[];
  readonly counters: readonly number[];
}

function keyOf(brick: BrickInfo): string {
  return `trusted.afr.${brick.brickId}`;
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

async function tell(context: Context, volume: VolumeInfo, { brick, names, counters }: Blame): Promise<boolean> {
  const { supervisor, inspector, log } = context;
  try {
    if (bricksElsewhere(context, [brick]).size > 0) {
      const params = { volume, brick: brick.brickId, names: [...names], counters: [...counters] };
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
