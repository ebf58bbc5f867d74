/** Takes marks off after a heal: exactly what was read under the lease is subtracted, on every participant. */
import { type Call, Errno, Fd, FileType, type Gfid, locOf, type Xattrs } from '@mortar/core';
import { dirtyKey, encodeVector, isNewborn, isZero, type Kind, kinds, vectorOf } from '../changelog.ts';
import type { Lease } from '../lease.ts';
import type { Replica } from '../replica.ts';
import type { Replies } from '../replica-set.ts';
import { missedBesides, passOn } from './pass-on.ts';

/**
 * `healed`: children that are whole now; `sources`: those that it came from. Blame for children that took no part stays, and is passed on.
 * Whether all bricks did it.
 */
export async function clearMarks(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  kind: Kind,
  healed: readonly number[],
  sources: readonly number[],
): Promise<boolean> {
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  if (!(await passOn(replica, lease, gfid, kind, healed, sources))) return false;
  if (kind !== 'data' && !(await sync(replica, lease, gfid, call, healed))) return false;
  const { set } = replica;
  const absent = set.children.flatMap((_, j) => (lease.holds.has(j) ? [] : [j]));
  // All that was acknowledged is on a majority, so what these agree on now is the truth, and who is away has missed it. Who was made
  // anew has it from another.
  const areAlike = lease.participants.every((child) => healed.includes(child));
  const voters = lease.participants.filter((child) => !isNewborn(lease.matrix, child, kind));
  const decides = areAlike && 2 * voters.length > set.count;
  const unsettled = lease.participants.some((child) => lease.matrix[child]!.dirty[at] !== 0);
  const results = await Promise.all(
    lease.participants.map(async (child) => {
      const log = lease.matrix[child]!;
      const values: Xattrs = {};
      for (const j of healed) {
        const count = log.blames[j]![at];
        if (count !== 0) values[set.pendingKeys[j]!] = encodeVector(vectorOf({ [kind]: -count }));
      }
      // A dirty mark speaks of all replicas: with one away, it comes off where that one is blamed instead; not with one here that
      // could not be looked at.
      const settles = decides || (areAlike && log.dirty[at] !== 0 && absent.every((j) => log.blames[j]![at] !== 0));
      if (unsettled && settles)
        for (const j of absent) {
          const missed = missedBesides(kind, log.blames[j]!);
          if (!isZero(missed)) values[set.pendingKeys[j]!] = encodeVector(missed);
        }
      if (log.dirty[at] !== 0 && settles) values[dirtyKey] = encodeVector(vectorOf({ [kind]: -log.dirty[at] }));
      if (Object.keys(values).length === 0) return true;
      const reply = await replica.set.windOne(child, 'xattrop', call, {
        loc: locOf(gfid),
        operation: 'add32',
        values,
        xdata: { fence: lease.fenceOf(child) },
      });
      return reply.ok;
    }),
  );
  return results.every(Boolean);
}

/**
 * A replica whose machine dies may lose what heal just gave it: no mark comes off before that is on its disk. One that died meanwhile
 * takes no part any more, and has said nothing.
 */
async function sync(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  call: Call,
  healed: readonly number[],
): Promise<boolean> {
  const { type } = replica.contexts.inode(gfid);
  const fop = type === FileType.directory ? 'fsyncdir' : 'fsync';
  if (!replica.live.ensureDurability) return true;
  const fd = new Fd(gfid);
  const all = [...new Set([...lease.participants, ...healed])];
  const replies: Replies<'fsyncdir'> = await replica.set.wind(all, fop, call, () => ({ fd, dataOnly: false }));
  fd.release();
  return all.every((child) => {
    const reply = replies[child];
    if (!reply) return !healed.includes(child);
    return reply.ok || reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE;
  });
}
