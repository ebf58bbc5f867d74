/**
 * To have a device: its epoch is raised on a quorum of each replica set, which keeps whoever had it before out for good, and
 * what that one left half done is settled. docs/block.md says why in this order.
 */
import { type Attachment, Errno, type Failure, fail, type Gfid, locAt, locOf, type Xattrs } from '@mortar/core';
import {
  blockEpochXattr,
  drawnRange,
  encodeEpoch,
  epochOf,
  nextEpoch,
  settledText,
  settleXattr,
} from '@mortar/xlators/lib/block-device.ts';
import { durable, listNames } from './catalog.ts';
import {
  allXattrs,
  type Description,
  decodeDescription,
  decodeHolder,
  descriptionXattr,
  encodeHolder,
  type Holder,
  holderXattr,
} from './description.ts';
import { forEach, type VolumeGraph } from './graph.ts';

export interface AttachOptions {
  /** Of this run of this server. */
  readonly owner: string;
  /** Take it from whoever has it; else only from one who gave it up, or shows no life for `leaseMs`. */
  readonly force: boolean;
  readonly leaseMs: number;
  /** How long replicas may take to become alike. */
  readonly settleMs: number;
}

export interface Attached {
  readonly ok: true;
  readonly attachment: Attachment;
  readonly description: Description;
  /** By number. */
  readonly shards: Map<number, Gfid>;
}

const raisesMax = 16;
const settleWidth = 16;
const retryMs = 500;
const shardName = /^(0|[1-9][0-9]{0,9})$/;
const origin = 'block';

type State = { ok: true; xattrs: Xattrs; description: Description; epoch: number; holder: Holder | null };

async function look(graph: VolumeGraph, device: Gfid, attachment?: Attachment): Promise<State | Failure> {
  const found = await graph.run((ops, call) =>
    ops.lookup(attachment ? { ...call, attachment } : call, { loc: locOf(device), want: [allXattrs] }),
  );
  if (!found.ok) return found;
  const { xattrs } = found;
  const description = decodeDescription(xattrs[descriptionXattr]);
  if (!description) return fail(Errno.EINVAL);
  return { ok: true, xattrs, description, epoch: epochOf(xattrs), holder: decodeHolder(xattrs[holderXattr]) };
}

/** EBUSY: another one has it. EOPNOTSUPP: bricks of the volume do not guard devices. */
export async function attach(graph: VolumeGraph, device: Gfid, options: AttachOptions): Promise<Attached | Failure> {
  const free = options.force ? null : await untilFree(graph, device, options);
  if (free) return free;
  const raised = await raise(graph, device, options);
  if (!raised.ok) return raised;
  const { attachment } = raised;
  // Bricks that missed the raise hear of it now; then all must refuse one that is long over.
  const seen = await look(graph, device, attachment);
  if (!seen.ok) return seen;
  const probe = await look(graph, device, { device, epoch: 1 });
  if (probe.ok || probe.errno !== Errno.EKEYREVOKED) return probe.ok ? fail(Errno.EOPNOTSUPP) : probe;
  const shards = await settleAll(graph, attachment, options.settleMs);
  if (!shards.ok) return shards;
  return { ok: true, attachment, description: seen.description, shards: shards.shards };
}

/** Null when nobody has it, or who has it shows no life. */
async function untilFree(graph: VolumeGraph, device: Gfid, options: AttachOptions): Promise<Failure | null> {
  const before = await look(graph, device);
  if (!before.ok) return before;
  const { holder } = before;
  if (!holder || holder.owner === options.owner) return null;
  const untilMs = graph.clock.nowMs() + options.leaseMs;
  for (;;) {
    await graph.clock.sleep(options.leaseMs / 8);
    const now = await look(graph, device);
    if (!now.ok) return now;
    if (!now.holder) return null;
    if (now.holder.epoch !== holder.epoch || now.holder.beat !== holder.beat) return fail(Errno.EBUSY);
    if (graph.clock.nowMs() >= untilMs) break;
  }
  graph.log.write('WARNING', origin, `device ${device}: ${holder.owner} shows no life; it is taken over`);
  return null;
}

async function raise(
  graph: VolumeGraph,
  device: Gfid,
  { owner, force }: AttachOptions,
): Promise<{ ok: true; attachment: Attachment } | Failure> {
  let tried = 0;
  for (let attempt = 1; ; attempt++) {
    const state = await look(graph, device);
    if (!state.ok) return state;
    // Somebody else was quicker.
    if (attempt > 1 && !force && state.epoch > tried && state.holder && state.holder.owner !== owner)
      return fail(Errno.EBUSY);
    const epoch = nextEpoch(Math.max(state.epoch, tried), graph.random.integer(drawnRange));
    tried = epoch;
    const xattrs = {
      [blockEpochXattr]: encodeEpoch(epoch),
      [holderXattr]: encodeHolder({ owner, epoch, beat: 0 }),
    };
    const attachment: Attachment = { device, epoch };
    const reply = await graph.run(async (ops, plain) => {
      const call = { ...plain, attachment: { ...attachment, isRaising: true } };
      const set = await ops.setxattr(call, { loc: locOf(device), xattrs, flags: 0 });
      return set.ok ? durable(ops, { ...plain, attachment }, device) : set;
    });
    if (reply.ok) return { ok: true, attachment };
    if (reply.errno !== Errno.EKEYREVOKED || attempt === raisesMax) return reply;
    await graph.clock.sleep(graph.random.integer(50 * attempt));
  }
}

/** Every shard, after its replicas agree. */
async function settleAll(
  graph: VolumeGraph,
  attachment: Attachment,
  settleMs: number,
): Promise<{ ok: true; shards: Map<number, Gfid> } | Failure> {
  const { device } = attachment;
  const directory = await settle(graph, device, attachment, settleMs);
  if (directory) return directory;
  const listed = await listNames(graph, device, attachment);
  if (!listed.ok) return listed;
  const shards = new Map<number, Gfid>();
  const failed = await forEach(
    listed.names.filter((name) => shardName.test(name)),
    settleWidth,
    async (name): Promise<{ ok: true } | Failure> => {
      const found = await graph.run((ops, call) => ops.lookup({ ...call, attachment }, { loc: locAt(device, name) }));
      // A name that only a minority had.
      if (!found.ok) return found.errno === Errno.ENOENT ? { ok: true } : found;
      const { gfid } = found.iatt;
      const unsettled = await settle(graph, gfid, attachment, settleMs);
      if (!unsettled) shards.set(Number(name), gfid);
      return unsettled ?? { ok: true };
    },
  );
  return failed && !failed.ok ? failed : { ok: true, shards };
}

async function settle(
  graph: VolumeGraph,
  gfid: Gfid,
  attachment: Attachment,
  settleMs: number,
): Promise<Failure | null> {
  const untilMs = graph.clock.nowMs() + settleMs;
  for (;;) {
    const reply = await graph.run((ops, call) =>
      ops.getxattr({ ...call, attachment }, { loc: locOf(gfid), name: settleXattr }),
    );
    // Without replicas there is nothing to settle.
    if (!reply.ok && reply.errno === Errno.ENODATA) return null;
    if (!reply.ok && reply.errno !== Errno.ENOTCONN) return reply;
    const said = reply.ok
      ? Buffer.from(reply.xattrs[settleXattr] ?? [])
          .toString('latin1')
          .replace(/\0+$/, '')
      : '';
    if (said === settledText) return null;
    if (graph.clock.nowMs() >= untilMs) {
      graph.log.write('ERROR', origin, `${gfid} of device ${attachment.device} is not settled: ${said}`);
      return reply.ok ? fail(Errno.EAGAIN) : reply;
    }
    await graph.clock.sleep(retryMs);
  }
}

/** Shows life, or (`null`) gives the device up. */
export function setHolder(
  graph: VolumeGraph,
  attachment: Attachment,
  holder: Holder | null,
): Promise<{ ok: true } | Failure> {
  const loc = locOf(attachment.device);
  return graph.run<{ ok: true } | Failure>((ops, plain) => {
    const call = { ...plain, attachment };
    return holder
      ? ops.setxattr(call, { loc, xattrs: { [holderXattr]: encodeHolder(holder) }, flags: 0 })
      : ops.removexattr(call, { loc, name: holderXattr });
  });
}
