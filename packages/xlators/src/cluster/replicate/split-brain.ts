/**
 * Split-brain: every replica is accused. Who wins is decided by a policy or by the operator; then the losers' accusations
 * are taken back, so that an ordinary heal follows (docs/heal.md).
 */
import { type Gfid, type Iatt, locOf, type Xattrs } from '@mortar/core';
import { dirtyKey, encodeVector, type Kind, kinds, vectorOf } from './changelog.ts';
import type { Lease } from './lease.ts';
import type { Replica } from './replica.ts';
import { succeeded, successAt } from './replica-set.ts';

export type Policy = 'none' | 'size' | 'ctime' | 'mtime' | 'majority';

export interface Candidate {
  readonly child: number;
  readonly iatt: Iatt;
}

/** The winner by a policy; undefined when no copy stands out: a tie is not decided. */
export function choose(policy: Policy, candidates: readonly Candidate[]): number | undefined {
  switch (policy) {
    case 'none':
      return undefined;
    case 'size':
      return largest(candidates, ({ iatt }) => [iatt.size]);
    case 'ctime':
      return largest(candidates, ({ iatt }) => [iatt.ctime, iatt.ctimeNsec]);
    case 'mtime':
      return largest(candidates, ({ iatt }) => [iatt.mtime, iatt.mtimeNsec]);
    case 'majority': {
      const alike = (a: Iatt, b: Iatt) => a.size === b.size && a.mtime === b.mtime && a.mtimeNsec === b.mtimeNsec;
      const votes = (one: Candidate) => candidates.filter(({ iatt }) => alike(iatt, one.iatt)).length;
      return candidates.find((one) => votes(one) * 2 > candidates.length)?.child;
    }
  }
}

function largest(
  candidates: readonly Candidate[],
  key: (candidate: Candidate) => readonly number[],
): number | undefined {
  const compare = (a: Candidate, b: Candidate) => {
    const [x, y] = [key(a), key(b)];
    const at = x.findIndex((value, i) => value !== y[i]);
    return at < 0 ? 0 : x[at]! - y[at]!;
  };
  const best = candidates.reduce<Candidate | undefined>(
    (top, one) => (!top || compare(one, top) > 0 ? one : top),
    undefined,
  );
  return candidates.some((one) => one !== best && compare(one, best!) === 0) ? undefined : best?.child;
}

/** Whether a kind is in split-brain by what the lease shows. */
export function isSplit(replica: Replica, lease: Lease, kind: Kind): boolean {
  const { set } = replica;
  const { pending, sources, isAlone } = lease.verdict(kind, set);
  return pending && sources.length === 0 && !isAlone;
}

/** The copies among which a winner is chosen; of data, only those that have bytes. */
export async function candidates(replica: Replica, lease: Lease, kind: Kind): Promise<Candidate[]> {
  const replies = await replica.lookupAll(locOf(lease.gfid), replica.rootCall(), []);
  const eligible = succeeded(replies).filter(
    (child) => lease.holds.has(child) && (kind !== 'data' || replica.set.holdsData(child)),
  );
  return eligible.map((child) => ({ child, iatt: successAt(replies, child)!.iatt }));
}

/** Makes `winner` the source of a kind: it accuses all others, nobody accuses it. Whether all bricks took it. */
export async function arbitrate(replica: Replica, lease: Lease, kind: Kind, winner: number): Promise<boolean> {
  const at = kinds.indexOf(kind) as 0 | 1 | 2;
  const { set } = replica;
  const by = (count: number) => encodeVector(vectorOf({ [kind]: count }));
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  // First the winner's accusations: at no time does nobody accuse anybody.
  for (const child of [winner, ...lease.participants.filter((other) => other !== winner)]) {
    const { blames, dirty } = lease.matrix[child]!;
    const values: Xattrs = {};
    for (const [j, key] of set.pendingKeys.entries()) {
      const count = blames[j]![at];
      if (child === winner && j !== winner && count === 0) values[key] = by(1);
      if ((child !== winner || j === winner) && count !== 0) values[key] = by(-count);
    }
    if (dirty[at] !== 0) values[dirtyKey] = by(-dirty[at]);
    if (Object.keys(values).length === 0) continue;
    const xdata = { fence: lease.fenceOf(child) };
    const reply = await set.windOne(child, 'xattrop', call, {
      loc: locOf(lease.gfid),
      operation: 'add32',
      values,
      xdata,
    });
    if (!reply.ok) return false;
  }
  return true;
}

/** What access to a file in split-brain does where a policy is set. Whether something was decided. */
export async function settleByPolicy(replica: Replica, gfid: Gfid): Promise<boolean> {
  const { policy } = replica.live;
  if (policy === 'none') return false;
  const lease = await replica.leases.acquire(gfid, replica.rootCall());
  if ('errno' in lease) return false;
  lease.recalled = true;
  try {
    let settled = false;
    for (const kind of ['data', 'metadata'] as const) {
      if (!isSplit(replica, lease, kind)) continue;
      const winner = choose(policy, await candidates(replica, lease, kind));
      if (winner === undefined) continue;
      replica.warn(`${gfid}: ${kind} split-brain decided by favorite-child-policy ${policy}: child ${winner} wins`);
      settled = (await arbitrate(replica, lease, kind, winner)) || settled;
    }
    return settled;
  } finally {
    replica.leases.done(lease);
  }
}
