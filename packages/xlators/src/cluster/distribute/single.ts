/** Over one child: what GlusterFS writes there too, and what tells of the volume. */
import { type Args, byteString, type Call, type Reply, rootGfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { encodeRange, LayoutType, maxHash } from './layout.ts';
import { discover } from './lookup.ts';
import { withoutInternal } from './names.ts';

/** Only the root's lookup is looked at: it carries the commit hash for new directories. */
export function lookupOnOne(d: Distribute, call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
  return args.loc.gfid === rootGfid ? discover(d, call, rootGfid, args) : d.child.lookup(call, args);
}

export function mkdirOnOne(d: Distribute, call: Call, args: Args<'mkdir'>): Promise<Reply<'mkdir'>> {
  const range = { commit: d.newCommit, type: LayoutType.hash, start: 0, stop: maxHash };
  return d.child.mkdir(call, { ...args, initial: { ...args.initial, [d.names.layout]: encodeRange(range) } });
}

export async function getxattrOnOne(d: Distribute, call: Call, args: Args<'getxattr'>): Promise<Reply<'getxattr'>> {
  const { name } = args;
  if (name?.startsWith('dht.file.hashed-subvol.'))
    return { ok: true, xattrs: { [name]: Buffer.from(byteString(d.childName(0)), 'latin1') } };
  const reply = await d.child.getxattr(call, args);
  if (!reply.ok) return reply;
  if (name !== 'glusterfs.pathinfo' && name !== 'trusted.glusterfs.pathinfo')
    return call.internal ? reply : { ...reply, xattrs: withoutInternal(reply.xattrs) };
  const place = Buffer.from(reply.xattrs[name] ?? [])
    .toString('latin1')
    .replace(/\0+$/, '');
  return { ok: true, xattrs: { [name]: Buffer.from(`(<DISTRIBUTE:${byteString(d.name)}> ${place})`, 'latin1') } };
}
