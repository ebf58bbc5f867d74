/** Healing changes the times of what it touches: they get the source's again, as the last thing. */
import { type Gfid, locOf } from '@mortar/core';
import type { Lease } from '../lease.ts';
import type { Replica } from '../replica.ts';

export const mdataKey = 'trusted.glusterfs.mdata';

/** Whether all sinks took them. */
export async function restoreTimes(
  replica: Replica,
  lease: Lease,
  gfid: Gfid,
  source: number,
  sinks: readonly number[],
): Promise<boolean> {
  const { set } = replica;
  const call = { ...replica.rootCall(), internal: 'self-heal' as const };
  const loc = locOf(gfid);
  const found = await set.windOne(source, 'lookup', call, { loc, want: [mdataKey] });
  if (!found.ok) return false;
  const { atime, atimeNsec, mtime, mtimeNsec } = found.iatt;
  const attr = { atime: { sec: atime, nsec: atimeNsec }, mtime: { sec: mtime, nsec: mtimeNsec } };
  const mdata = found.xattrs[mdataKey];
  const one = async (sink: number) => {
    const xdata = { fence: lease.fenceOf(sink) };
    const timed = await set.windOne(sink, 'setattr', call, { loc, attr, xdata });
    if (!timed.ok || !mdata) return timed.ok;
    return (await set.windOne(sink, 'setxattr', call, { loc, xattrs: { [mdataKey]: mdata }, flags: 0, xdata })).ok;
  };
  return (await Promise.all(sinks.map(one))).every(Boolean);
}
