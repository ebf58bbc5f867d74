/** Reading xattrs: the file system's own are hidden, a few virtual ones tell where things are. */
import {
  type Args,
  byteString,
  type Call,
  Errno,
  type Fop,
  fail,
  type Gfid,
  type Reply,
  type Subvolume,
  type Xattrs,
} from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { childOfHash, ownsNames } from './layout.ts';
import { isInternalXattr, withoutInternal } from './names.ts';
import { onFile, onOne } from './on-file.ts';
import type { State } from './state.ts';

const pathinfoNames = new Set(['glusterfs.pathinfo', 'trusted.glusterfs.pathinfo']);
const nodeName = 'trusted.glusterfs.node-uuid';
const nodeListName = 'trusted.glusterfs.list-node-uuids';
const hashedPrefix = 'dht.file.hashed-subvol.';

type Reading = 'getxattr' | 'fgetxattr';

export async function getxattr(d: Distribute, call: Call, args: Args<'getxattr'>): Promise<Reply<'getxattr'>> {
  const state = await d.locateLoc(call, args.loc);
  return isFailure(state) ? state : read(d, call, 'getxattr', args, state, state.gfid);
}

export async function fgetxattr(d: Distribute, call: Call, args: Args<'fgetxattr'>): Promise<Reply<'fgetxattr'>> {
  const state = await d.locateFd(call, args.fd);
  return isFailure(state) ? state : read(d, call, 'fgetxattr', args, state, args.fd.gfid);
}

async function read<N extends Reading>(
  d: Distribute,
  call: Call,
  fop: N,
  args: Args<N>,
  state: State,
  gfid: Gfid,
): Promise<Reply<Reading>> {
  const { name } = args as { name?: string };
  const ask: Ask = (child) => (child[fop] as Fop<N>)(call, args) as Promise<Reply<Reading>>;
  if (name !== undefined && !call.internal) {
    if (pathinfoNames.has(name)) return pathinfo(d, name, state, ask);
    if (name === nodeListName || (name === nodeName && state.kind === 'directory'))
      return nodeList(d, name, state, ask);
    if (name.startsWith(hashedPrefix)) return hashedSubvolume(d, call, name, state, gfid);
    if (isInternalXattr(name)) return fail(Errno.ENODATA);
  }
  const reply: Reply<Reading> =
    state.kind === 'file'
      ? ((await onFile(d, call, fop, args, gfid, state)) as Reply<Reading>)
      : ((await onOne(fop)(d, call, args, state, gfid)) as Reply<Reading>);
  return reply.ok && !call.internal ? { ...reply, xattrs: withoutInternal(reply.xattrs) } : reply;
}

type Ask = (child: Subvolume) => Promise<Reply<Reading>>;

/** Programs read these as strings of C. */
function textReply(name: string, text: string): { ok: true; xattrs: Xattrs } {
  return { ok: true, xattrs: { [name]: Buffer.from(`${byteString(text)}\0`, 'latin1') } };
}

function textOf(xattrs: Xattrs, name: string): string {
  const value = xattrs[name];
  return value ? Buffer.from(value).toString('utf8').replace(/\0+$/, '') : '';
}

async function texts(
  d: Distribute,
  among: readonly number[],
  name: string,
  ask: Ask,
): Promise<string[] | Reply<Reading>> {
  const replies = await d.ask(among, ask);
  const found = replies
    .flatMap((reply) => (reply.ok ? [textOf(reply.xattrs, name)] : []))
    .filter((text) => text !== '');
  return found.length > 0 ? found : (replies.find((reply) => !reply.ok) ?? fail(Errno.ENODATA));
}

/** Where the data is; of a directory also its layout: `((<DISTRIBUTE:v> ...) (v-layout (child start stop) ...))`. */
async function pathinfo(d: Distribute, name: string, state: State, ask: Ask): Promise<Reply<Reading>> {
  const found = await texts(d, state.kind === 'file' ? [state.child] : d.indices, name, ask);
  if (!Array.isArray(found)) return found;
  const places = `(<DISTRIBUTE:${d.name}> ${found.join(' ')})`;
  if (state.kind === 'file') return textReply(name, places);
  const ranges = state.layout.parts.flatMap((part, i) =>
    part.state === 'range' && ownsNames(part.range)
      ? [{ start: part.range.start, text: `(${d.childName(i)} ${part.range.start} ${part.range.stop})` }]
      : [],
  );
  ranges.sort((a, b) => a.start - b.start);
  return textReply(name, `(${places} (${d.name}-layout ${ranges.map(({ text }) => text).join(' ')}))`);
}

async function nodeList(d: Distribute, name: string, state: State, ask: Ask): Promise<Reply<Reading>> {
  const found = await texts(d, state.kind === 'file' ? [state.child] : d.indices, name, ask);
  return Array.isArray(found) ? textReply(name, found.join(' ')) : found;
}

async function hashedSubvolume(
  d: Distribute,
  call: Call,
  name: string,
  state: State,
  gfid: Gfid,
): Promise<Reply<Reading>> {
  if (state.kind !== 'directory') return fail(Errno.ENODATA);
  const entry = name.slice(hashedPrefix.length);
  if (entry === '' || entry.includes('/')) return fail(Errno.EINVAL);
  const current = await d.locateDirectory(call, gfid);
  if (isFailure(current)) return current;
  const child = childOfHash(current.layout, d.hasher.hash(entry));
  return child === undefined ? fail(Errno.ENODATA) : textReply(name, d.childName(child));
}
