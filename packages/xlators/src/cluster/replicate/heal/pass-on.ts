/**
 * A child that is healed takes over what its sources say of those that are away: it has what these missed, and may be the last that
 * can tell. Else, when the disks of the sources are replaced one day, the stale one would pass for its like.
 */
import { compoundStep, Fd, FileType, type Gfid, locOf, type Xattrs } from '@mortar/core';
import { failureIn } from '../answers.ts';
import { encodeVector, isWitnessed, type Kind, kinds, type Vector, vectorOf } from '../changelog.ts';
import type { Lease } from '../lease.ts';
import type { Replica } from '../replica.ts';

/** Before any mark that speaks against the healed comes off. Whether all took it over, durably where that is asked for. */
export async function passOn(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  kind: Kind,
  healed: readonly number[],
  sources: readonly number[],
): Promise<boolean> {
  const { set } = replica;
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  const accuses = (child: number, absent: number) => lease.matrix[child]!.blames[absent]![at] !== 0;
  // What it was told when it was made it knows from now on.
  const knows = (child: number, absent: number) => isWitnessed(lease.matrix[child]!.blames[absent]![at]);
  const believed = sources.filter((child) => lease.holds.has(child));
  // One that was healed may have left the lease since.
  const isBehind = (j: number) => !lease.holds.has(j) && !healed.includes(j);
  const behind = set.children.flatMap((_, j) =>
    isBehind(j) && believed.some((child) => accuses(child, j)) ? [j] : [],
  );
  const unaware = healed.filter((child) => !believed.includes(child) && behind.some((j) => !knows(child, j)));
  if (unaware.length === 0) return true;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const fop = replica.contexts.inode(gfid).type === FileType.directory ? 'fsyncdir' : 'fsync';
  const fd = new Fd(gfid);
  const sync = replica.live.ensureDurability ? [compoundStep(fop, { fd, dataOnly: false })] : [];
  const replies = await set.wind(unaware, 'compound', call, (child) => {
    const values: Xattrs = {};
    for (const j of behind.filter((one) => !knows(child, one)))
      values[set.pendingKeys[j]!] = encodeVector(missedBesides(kind, lease.matrix[child]!.blames[j]!));
    const xdata = { fence: lease.fenceOf(child) };
    return { steps: [compoundStep('xattrop', { loc: locOf(gfid), operation: 'add32', values, xdata }), ...sync] };
  });
  fd.release();
  return unaware.every((child) => failureIn(replies[child]) === undefined);
}

/**
 * What one that is away is to be blamed for, besides what it is. Of a directory nobody knows which names it misses, whatever was
 * recorded: its data counter says that it may be any.
 */
export function missedBesides(kind: Kind, blame: Vector): Vector {
  const once = (count: number) => (isWitnessed(count) ? 0 : 1);
  if (kind === 'entry') return vectorOf({ data: once(blame[0]), entry: once(blame[2]) });
  return vectorOf({ [kind]: once(blame[kinds.indexOf(kind) as 0 | 1 | 2]) });
}
