/** What `gluster volume heal V info` shows: for each brick, what its index says and what is the matter with it. */
import { type ByteString, Errno, FileType, type Gfid, locOf, printable } from '@mortar/core';
import { changelogOf, type Kind, type Matrix, zeroVector } from '../changelog.ts';
import { judge } from '../judgement.ts';
import type { Replica } from '../replica.ts';
import { successAt } from '../replica-set.ts';
import { areMost, isMissing } from './healer.ts';
import type { SetHealer } from './set-healer.ts';

export interface ReportedEntry {
  /** Path from the volume's root, or null when this brick does not know it. */
  path: string | null;
  gfid: Gfid;
  splitBrain: boolean;
  healing: boolean;
}

export interface BrickReport {
  /** `HOST:/path`. */
  brick: string;
  connected: boolean;
  entries: ReportedEntry[];
}

/** The name under which users know a child. */
export function brickName(replica: Replica, child: number): string {
  const { xlator } = replica.set.children[child]!;
  const host = xlator.texts.get('remote-host');
  const path = xlator.texts.get('remote-subvolume');
  return host !== undefined && path !== undefined ? `${host}:${path}` : xlator.name;
}

export async function report(healer: SetHealer, kind: 'all' | 'split-brain'): Promise<BrickReport[]> {
  const { replica } = healer;
  return Promise.all(
    replica.set.children.map(async (_, child): Promise<BrickReport> => {
      const brick = brickName(replica, child);
      const gfids = replica.set.isUp(child) ? await indexed(healer, child) : undefined;
      if (!gfids) return { brick, connected: false, entries: [] };
      const entries: ReportedEntry[] = [];
      for (const gfid of gfids) {
        const entry = await examine(healer, child, gfid);
        if (entry && (kind === 'all' || entry.splitBrain)) entries.push(entry);
      }
      return { brick, connected: true, entries };
    }),
  );
}

async function indexed(healer: SetHealer, child: number): Promise<Gfid[] | undefined> {
  const marked = await healer.index.gfids(child, 'xattrop');
  const dirty = await healer.index.gfids(child, 'dirty');
  return marked && dirty ? [...new Set([...marked, ...dirty])] : undefined;
}

/** One index entry, looked at on all replicas; undefined if nothing is to be healed about it. */
async function examine(healer: SetHealer, child: number, gfid: Gfid): Promise<ReportedEntry | undefined> {
  const { replica } = healer;
  const replies = await replica.lookupAll(locOf(gfid), { ...replica.rootCall(), internal: 'glfs-heal' }, []);
  // Whatever its index says, a brick without the file has no marks of it: what others have stands in theirs.
  if (isMissing(replies[child])) {
    await healer.index.purge(child, gfid);
    return undefined;
  }
  const found = replies.find((reply) => reply?.ok);
  if (!found?.ok)
    return replies.every(
      (reply) => reply && !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE),
    )
      ? undefined
      : { path: null, gfid, splitBrain: false, healing: false };
  const absent = replies.flatMap((reply, i) =>
    reply && !reply.ok && (reply.errno === Errno.ENOENT || reply.errno === Errno.ESTALE) ? [i] : [],
  );
  // Most replicas do not have it: its directory, which is listed, is what is to be healed.
  if (areMost(replica, absent)) return undefined;
  const matrix: Matrix = replies.map((_, i) => {
    const reply = successAt(replies, i);
    return reply && changelogOf(reply.xattrs, replica.set.pendingKeys);
  });
  const kinds: Kind[] =
    found.iatt.type === FileType.directory
      ? ['metadata', 'entry']
      : found.iatt.type === FileType.regular
        ? ['metadata', 'data']
        : ['metadata'];
  const blamed = matrix.some((log) =>
    log?.blames.some((vector) => vector !== zeroVector && vector.some((count) => count !== 0)),
  );
  if (!blamed && (await inUse(replica, child, gfid))) return undefined;
  // Who is accused adds nothing by a mark of its own: the accusers list it.
  if (blamed && isOnlyAccused(matrix, child)) return undefined;
  const verdicts = kinds.map((kind) => judge(matrix, kind, { arbiter: replica.set.arbiter }));
  if (!blamed && !verdicts.some((verdict) => verdict.pending)) return undefined;
  const seen = healer.item(gfid);
  const splitBrain =
    verdicts.some((verdict) => verdict.pending && verdict.sources.length === 0) || seen?.last?.state === 'split-brain';
  return { path: await pathOf(replica, child, gfid), gfid, splitBrain, healing: seen?.running === true };
}

function isOnlyAccused(matrix: Matrix, child: number): boolean {
  const blames = (log: Matrix[number]) => log?.blames.some((vector) => vector.some((count) => count !== 0)) === true;
  return !blames(matrix[child]) && matrix.some((log) => log?.blames[child]?.some((count) => count !== 0));
}

/** A dirty mark alone is what a live transaction looks like. */
async function inUse(replica: Replica, child: number, gfid: Gfid): Promise<boolean> {
  const call = { ...replica.rootCall(), lockOwner: replica.nextOwner(), internal: 'glfs-heal' as const };
  const flock = { type: 'read' as const, start: 0, length: 0, owner: '', pid: 0 };
  const args = { loc: locOf(gfid), domain: replica.name, flock };
  const tried = await replica.set.windOne(child, 'inodelk', call, { ...args, command: 'try' });
  if (!tried.ok) return tried.errno === Errno.EAGAIN;
  await replica.set.windOne(child, 'inodelk', call, { ...args, command: 'unlock' });
  return false;
}

const pathKeys: readonly ByteString[] = ['glusterfs.gfidtopath', 'glusterfs.ancestry.path'];

async function pathOf(replica: Replica, child: number, gfid: Gfid): Promise<string | null> {
  if (gfid === '00000000-0000-0000-0000-000000000001') return '/';
  const call = { ...replica.rootCall(), internal: 'glfs-heal' as const };
  for (const name of pathKeys) {
    const reply = await replica.set.windOne(child, 'getxattr', call, { loc: locOf(gfid), name });
    const value = reply.ok ? reply.xattrs[name] : undefined;
    const first = value && Buffer.from(value).toString('latin1').split(/[:\0]/)[0];
    if (first) return printable(first.startsWith('/') ? first : `/${first}`);
  }
  return null;
}
