/**
 * A replica set that gets an empty brick must know, before any client sees that brick, that everything is to be healed
 * towards it: the others blame it at the root in data, metadata and entries, and it says so itself (docs/management.md).
 */
import { parseBool } from '@mortar/core';
import type { RootBlame } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { blameHere } from '../pool/root-blame.ts';
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
  const done: { brick: BrickInfo; blame: RootBlame }[] = [];
  const counters = pendingCounters(volume);
  const tell = async (brick: BrickInfo, blame: RootBlame): Promise<Said | undefined> => {
    const said = await blamed(context, volume, brick, blame);
    if (said) done.push({ brick, blame });
    return said;
  };
  const undo: Undo = async () => {
    for (const { brick, blame } of done.splice(0))
      await blamed(context, volume, brick, { ...blame, counters: blame.counters.map((count) => -count), of: [] });
  };
  const giveUp = async (text: string) => {
    await undo();
    throw new OperationError(text);
  };
  for (const { empty, others, holders } of setsWith(volume, fresh)) {
    const names = empty.map(keyOf);
    const of = others.map(keyOf);
    const said: Said[] = [];
    let told = 0;
    for (const brick of others) {
      const answer = await tell(brick, { names, counters, of });
      if (answer) said.push(answer);
      if (answer && holders.includes(brick)) told++;
    }
    if (told === 0)
      await giveUp(
        `No other data brick of the replica set of ${brickName(empty[0]!)} can be reached: its files would be lost`,
      );
    for (const brick of empty)
      for (const blame of newbornBlames(keyOf(brick), counters, of, said))
        if (!(await tell(brick, blame)))
          await giveUp(`${brickName(brick)} cannot be marked as empty: the log has the reason`);
  }
  return undo;
}

/** Counters of data, metadata and entries by the name of who is blamed. */
type Said = Readonly<Record<string, readonly number[]>>;

/** What an empty brick says at its root: that it has nothing, and what it was told of the others (docs/replicate.md, Made anew). */
function newbornBlames(
  own: string,
  counters: readonly number[],
  others: readonly string[],
  said: readonly Said[],
): RootBlame[] {
  const [isAnyName] = counters;
  const toldOf = (name: string) => {
    const once = (at: number) => said.some((one) => (one[name]?.[at] ?? 0) !== 0);
    return [once(0) || (isAnyName === 1 && once(2)), once(1), once(2)].map((is) => (is ? newbornCount : 0));
  };
  const told = others.map((name) => ({ names: [name], counters: toldOf(name), of: [] }));
  const itself = { names: [own], counters: counters.map((count) => count * newbornCount), of: [] };
  return [itself, ...told.filter((one) => one.counters.some((count) => count !== 0))];
}

function keyOf(brick: BrickInfo): string {
  return `trusted.afr.${brick.brickId}`;
}

/** Of data, metadata and entries. The data counter of a directory tells granular healing that all names are meant. */
function pendingCounters(volume: VolumeInfo): readonly number[] {
  const isGranular = parseBool(volume.options['cluster.granular-entry-heal'] ?? 'off') === true;
  return [isGranular ? 1 : 0, 1, 1];
}

interface SetWithEmpty {
  readonly empty: readonly BrickInfo[];
  readonly others: readonly BrickInfo[];
  /** Those of the others that a file can be healed from: an arbiter knows names and attributes only. */
  readonly holders: readonly BrickInfo[];
}

function setsWith(volume: VolumeInfo, fresh: readonly BrickInfo[]): SetWithEmpty[] {
  if (volume.type !== 'replicate') return [];
  const ids = new Set(fresh.map((brick) => brick.brickId));
  const size = setSize(volume);
  const sets: SetWithEmpty[] = [];
  for (let at = 0; at < volume.bricks.length; at += size) {
    const set = volume.bricks.slice(at, at + size);
    const empty = set.filter((brick) => ids.has(brick.brickId));
    const others = set.filter((brick) => !ids.has(brick.brickId));
    const arbiter = volume.arbiterCount > 0 ? set.at(-1) : undefined;
    if (empty.length > 0) sets.push({ empty, others, holders: others.filter((brick) => brick !== arbiter) });
  }
  return sets;
}

/** What the brick says of the names that are asked for; undefined: it could not be told, and the log says why. */
async function blamed(
  context: Context,
  volume: VolumeInfo,
  brick: BrickInfo,
  blame: RootBlame,
): Promise<Said | undefined> {
  try {
    if (bricksElsewhere(context, [brick]).size === 0) return (await blameHere(context, volume, brick, blame)).said;
    const params = {
      volume,
      brick: brick.brickId,
      names: [...blame.names],
      counters: [...blame.counters],
      of: [...blame.of],
    };
    return (await onSite(context, brick.hostUuid, 'blame', params)).said;
  } catch (error) {
    const text = `${brickName(brick)} cannot blame ${blame.names}: ${(error as Error).message}`;
    context.log.write('WARNING', 'management', text);
    return undefined;
  }
}
