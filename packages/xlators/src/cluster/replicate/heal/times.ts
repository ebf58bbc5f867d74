/** Healing changes the times of what it touches: they get the source's again, as the last thing. */
import { type Gfid, type Iatt, locOf } from '@mortar/core';
import type { Lease } from '../lease.ts';
import type { Replica } from '../replica.ts';

export const mdataKey = 'trusted.glusterfs.mdata';

/** What a replica has of a file's times: with features/utime, in the xattr. */
export interface Times {
  readonly iatt: Iatt;
  readonly mdata: Uint8Array | undefined;
}

/** Whether all sinks took those of the source. */
export async function restoreTimes(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  source: number,
  sinks: readonly number[],
): Promise<boolean> {
  const times = await timesOn(replica, gfid, source);
  return times !== undefined && setTimes(replica, lease, gfid, times, sinks);
}

/** Undefined: it cannot be asked. */
export async function timesOn(replica: Replica, gfid: Gfid, child: number): Promise<Times | undefined> {
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const found = await replica.set.windOne(child, 'lookup', call, { loc: locOf(gfid), want: [mdataKey] });
  return found.ok ? { iatt: found.iatt, mdata: found.xattrs[mdataKey] } : undefined;
}

/** Whether all took them. */
export async function setTimes(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  { iatt, mdata }: Times,
  children: readonly number[],
): Promise<boolean> {
  const { set } = replica;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const loc = locOf(gfid);
  const { atime, atimeNsec, mtime, mtimeNsec } = iatt;
  const attr = { atime: { sec: atime, nsec: atimeNsec }, mtime: { sec: mtime, nsec: mtimeNsec } };
  const one = async (child: number) => {
    const xdata = { fence: lease.fenceOf(child) };
    const timed = await set.windOne(child, 'setattr', call, { loc, attr, xdata });
    if (!timed.ok || !mdata) return timed.ok;
    return (await set.windOne(child, 'setxattr', call, { loc, xattrs: { [mdataKey]: mdata }, flags: 0, xdata })).ok;
  };
  return (await Promise.all(children.map(one))).every(Boolean);
}
