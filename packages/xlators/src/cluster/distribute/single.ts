/** Over one child: what GlusterFS writes there too, and what tells of the volume. */
import { type Args, byteString, type Call, locOf, type Reply, rootGfid } from '@mortar/core';
import type { Distribute } from './distribute.ts';
import { encodeRange, LayoutType, maxHash, type Range } from './layout.ts';
import { discover } from './lookup.ts';
import { withoutInternal } from './names.ts';

/** Only the root's lookup is looked at: it carries the commit hash for new directories, and gets a layout like them. */
export async function lookupOnOne(d: Distribute, call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
  if (args.loc.gfid !== rootGfid) return d.child.lookup(call, args);
  const reply = await discover(d, call, rootGfid, args);
  const state = d.stateOf(rootGfid);
  if (reply.ok && state?.kind === 'directory' && state.layout.parts[0]?.state === 'bare') await layOutRoot(d, call);
  return reply;
}

/** Without one it would get ranges on all children when there are more, and what is in it would not be where it hashes to. */
async function layOutRoot(d: Distribute, call: Call): Promise<void> {
  const xattrs = { [d.names.layout]: encodeRange(wholeRange(d)) };
  const set = await d.child.setxattr(d.ownCall(call), { loc: locOf(rootGfid), xattrs, flags: 0 });
  if (set.ok) await discover(d, call, rootGfid);
}

function wholeRange(d: Distribute): Range {
  return { commit: d.newCommit, type: LayoutType.hash, start: 0, stop: maxHash };
}

export function mkdirOnOne(d: Distribute, call: Call, args: Args<'mkdir'>): Promise<Reply<'mkdir'>> {
  const layout = { [d.names.layout]: encodeRange(wholeRange(d)) };
  return d.child.mkdir(call, { ...args, initial: { ...args.initial, ...layout } });
}

export async function getxattrOnOne(d: Distribute, call: Call, args: Args<'getxattr'>): Promise<Reply<'getxattr'>> {
  const { name } = args;
  if (name?.startsWith('dht.file.hashed-subvol.'))
    return { ok: true, xattrs: { [name]: Buffer.from(`${byteString(d.childName(0))}\0`, 'latin1') } };
  const reply = await d.child.getxattr(call, args);
  if (!reply.ok) return reply;
  if (name !== 'glusterfs.pathinfo' && name !== 'trusted.glusterfs.pathinfo')
    return call.internal ? reply : { ...reply, xattrs: withoutInternal(reply.xattrs) };
  const place = Buffer.from(reply.xattrs[name] ?? [])
    .toString('latin1')
    .replace(/\0+$/, '');
  return { ok: true, xattrs: { [name]: Buffer.from(`(<DISTRIBUTE:${byteString(d.name)}> ${place})\0`, 'latin1') } };
}
