/** xattrs that replicate answers itself (names: GlusterFS's). */
import {
  type Args,
  type ByteString,
  byteString,
  type Call,
  Errno,
  fail,
  type Gfid,
  locOf,
  type Reply,
} from '@mortar/core';
import { settledText, settleXattr } from '../../lib/block-device.ts';
import { changelogOf, isZero, type Kind, kinds } from './changelog.ts';
import { heal } from './heal/healer.ts';
import { HealIndex } from './heal/index-access.ts';
import type { Replica } from './replica.ts';
import { isAbsence, type Replies, succeeded, successAt } from './replica-set.ts';

const nodeKey = 'trusted.glusterfs.node-uuid';
const nodeListKey = 'trusted.glusterfs.list-node-uuids';

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
  if (name === nodeKey || name === nodeListKey) return nodes(replica, name, call, args);
  if (name === settleXattr) return settle(replica, gfid, name, call);
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

/** The machine of the first replica that answers, or those of all; a brick knows only its own. */
async function nodes(
  replica: Replica,
  name: ByteString,
  call: Call,
  args: Args<'getxattr'>,
): Promise<Reply<'getxattr'>> {
  const texts = await textsOf(replica, nodeKey, call, { ...args, name: nodeKey });
  if (texts.length === 0) return fail(Errno.ENODATA);
  return answer(name, name === nodeListKey ? texts.join(' ') : texts[0]!);
}

async function textsOf(replica: Replica, name: ByteString, call: Call, args: Args<'getxattr'>): Promise<string[]> {
  const replies = await replica.set.wind(replica.set.up, 'getxattr', call, () => args);
  return replies.flatMap((reply, child) => {
    const value = reply?.ok ? successAt(replies, child)!.xattrs[name] : undefined;
    return value ? [Buffer.from(value).toString('latin1').replace(/\0+$/, '')] : [];
  });
}

/**
 * Makes those that are up alike where a client was interrupted in a change: `settled`, or why not. Whoever goes on with a
 * file after somebody else must not find first one and later another outcome of what that one had in hand.
 */
async function settle(replica: Replica, gfid: Gfid, name: ByteString, call: Call): Promise<Reply<'getxattr'>> {
  let reason = '';
  for (let attempt = 0; attempt < settleAttempts; attempt++) {
    const { asked } = replica;
    const replies = await replica.lookupAll(locOf(gfid), call, []);
    const refused = replies.find((reply) => reply && !reply.ok && reply.errno === Errno.EKEYREVOKED);
    if (refused && !refused.ok) return fail(refused.errno);
    if (!replica.set.suffices(succeeded(replies))) return answer(name, 'no quorum of replicas has it');
    if (!isInterrupted(replica, replies)) {
      replica.learn(gfid, replies, asked);
      return answer(name, settledText);
    }
    const context = { replica, index: new HealIndex(replica), windowBytes: settleWindowBytes, full: false } as const;
    const result = await heal({ ...context, algorithm: 'diff', patience: 'wait', found: () => undefined }, gfid);
    reason = 'reason' in result ? `${result.state}: ${result.reason}` : result.state;
    if (result.state === 'split-brain') break;
  }
  return answer(name, reason);
}

const settleAttempts = 4;
const settleWindowBytes = 1024 * 1024;

/** Whether one that is up has changes in hand, or accuses another that is up. */
function isInterrupted({ set }: Replica, replies: Replies<'lookup'>): boolean {
  return replies.some((reply) => {
    if (!reply?.ok) return false;
    const { blames, dirty } = changelogOf(reply.xattrs, set.pendingKeys);
    return !isZero(dirty) || blames.some((vector, child) => !isZero(vector) && set.isUp(child));
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
