/** xattrs that replicate answers itself (names: GlusterFS's). */
import { type Args, type ByteString, byteString, type Call, Errno, fail, type Gfid, type Reply } from '@mortar/core';
import { type Kind, kinds } from './changelog.ts';
import type { Replica } from './replica.ts';
import { isAbsence, successAt } from './replica-set.ts';

const nodeKeys = ['trusted.glusterfs.node-uuid', 'trusted.glusterfs.list-node-uuids'];

/** The answer, or undefined for a name that is not replicate's. */
export async function virtualXattr(
  replica: Replica,
  gfid: Gfid,
  name: ByteString,
  call: Call,
  args: Args<'getxattr'>,
): Promise<Reply<'getxattr'> | undefined> {
  if (name === 'trusted.glusterfs.pathinfo' || name === 'glusterfs.pathinfo')
    return pathinfo(replica, name, call, args);
  if (nodeKeys.includes(name)) return joined(replica, name, call, args);
  if (name === 'replica.split-brain-status') return splitBrainStatus(replica, gfid, name, call);
  return undefined;
}

/** `(<REPLICATE:NAME> child child ...)`. */
async function pathinfo(
  replica: Replica,
  name: ByteString,
  call: Call,
  args: Args<'getxattr'>,
): Promise<Reply<'getxattr'>> {
  const texts = await textsOf(replica, name, call, args);
  if (texts.length === 0) return fail(Errno.ENOTCONN);
  return answer(name, `(<REPLICATE:${replica.name}> ${texts.join(' ')})`);
}

async function joined(
  replica: Replica,
  name: ByteString,
  call: Call,
  args: Args<'getxattr'>,
): Promise<Reply<'getxattr'>> {
  const texts = await textsOf(replica, name, call, args);
  return texts.length === 0
    ? fail(Errno.ENODATA)
    : answer(name, name.endsWith('list-node-uuids') ? texts.join(' ') : texts[0]!);
}

async function textsOf(replica: Replica, name: ByteString, call: Call, args: Args<'getxattr'>): Promise<string[]> {
  const replies = await replica.set.wind(replica.set.up, 'getxattr', call, () => args);
  return replies.flatMap((reply, child) => {
    const value = reply?.ok ? successAt(replies, child)!.xattrs[name] : undefined;
    return value ? [Buffer.from(value).toString('latin1').replace(/\0+$/, '')] : [];
  });
}

async function splitBrainStatus(
  replica: Replica,
  gfid: Gfid,
  name: ByteString,
  call: Call,
): Promise<Reply<'getxattr'>> {
  const { asked } = replica;
  const replies = await replica.lookupAll({ gfid, parent: null, name: null }, call, []);
  if (!replies.some((reply) => reply?.ok))
    return fail(replies.some((reply) => reply && !reply.ok && !isAbsence(reply.errno)) ? Errno.ENOENT : Errno.ENOTCONN);
  const context = replica.learn(gfid, replies, asked);
  const split = (kind: Kind) => context.readable[kind].length === 0;
  if (!kinds.some((kind) => kind !== 'entry' && split(kind)))
    return answer(name, 'The file is not under data or metadata split-brain');
  const yes = (kind: Kind) => (split(kind) ? 'yes' : 'no');
  const choices = context.present
    .filter((child) => replica.set.holdsData(child))
    .map((child) => replica.set.children[child]!.xlator.name);
  return answer(
    name,
    `data-split-brain:${yes('data')}    metadata-split-brain:${yes('metadata')}    Choices:${choices.join(',')}`,
  );
}

function answer(name: ByteString, text: string): Reply<'getxattr'> {
  return { ok: true, xattrs: { [name]: Buffer.from(`${byteString(text)}\0`, 'latin1') } };
}
