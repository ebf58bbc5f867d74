/** Takes marks off after a heal: exactly what was read under the lease is subtracted, on every participant. */
import { type Call, Errno, Fd, FileType, type Gfid, locOf, type Xattrs } from '@mortar/core';
import { dirtyKey, encodeVector, type Kind, kinds, vectorOf } from '../changelog.ts';
import type { Lease } from '../lease.ts';
import type { Replica } from '../replica.ts';
import type { Replies } from '../replica-set.ts';

/** `healed`: children that are whole now. Blame for children that took no part stays. Whether all bricks did it. */
export async function clearMarks(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  kind: Kind,
  healed: readonly number[],
): Promise<boolean> {
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  if (kind !== 'data' && !(await sync(replica, lease, gfid, call))) return false;
  const everyone = lease.holds.size === replica.set.count;
  const results = await Promise.all(
    lease.participants.map(async (child) => {
      const log = lease.matrix[child]!;
      const values: Xattrs = {};
      for (const j of healed) {
        const count = log.blames[j]![at];
        if (count !== 0) values[replica.set.pendingKeys[j]!] = encodeVector(vectorOf({ [kind]: -count }));
      }
      // A dirty mark speaks of all replicas: with one away, what it knows is not settled yet.
      if (log.dirty[at] !== 0 && (everyone || blamesAllAbsent(replica, lease, at, child)))
        values[dirtyKey] = encodeVector(vectorOf({ [kind]: -log.dirty[at] }));
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

/** A replica whose machine dies may lose what heal just gave it: no mark comes off before that is on its disk. */
async function sync(replica: Replica, lease: Lease, gfid: Gfid, call: Call): Promise<boolean> {
  const { type } = replica.contexts.inode(gfid);
  const fop = type === FileType.directory ? 'fsyncdir' : type === FileType.regular ? 'fsync' : undefined;
  if (!fop || !replica.live.ensureDurability) return true;
  const fd = new Fd(gfid);
  const replies: Replies<'fsyncdir'> = await replica.set.wind(lease.participants, fop, call, () => ({
    fd,
    dataOnly: false,
  }));
  fd.release();
  return lease.participants.every((child) => {
    const reply = replies[child];
    return !reply || reply.ok || reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE;
  });
}

/** The absent are blamed by name, so the dirty mark says nothing more. */
function blamesAllAbsent(replica: Replica, lease: Lease, at: 0 | 1 | 2, child: number): boolean {
  return replica.set.children.every((_, j) => lease.holds.has(j) || lease.matrix[child]!.blames[j]![at] !== 0);
}
