/** How the mover of a file and the bricks that have it agree: watched while it is copied, held while it changes places. */
import {
  type Args,
  type Call,
  compoundStep,
  Errno,
  type Failure,
  type Gfid,
  type Iatt,
  locOf,
  type RawStep,
  type Reply,
} from '@mortar/core';
import type { Span } from './copy-file.ts';
import type { Distribute } from './distribute.ts';

/** Both as features/locks knows them. */
const migrationDomain = 'dht.file.migrate';
const writtenXattr = 'glusterfs.dht.migrate.written';
/** Who uses the file right now has ended soon; who goes on and on keeps it where it is. */
const attemptsMax = 20;
const pauseMs = 20;

interface Held {
  readonly gfid: Gfid;
  readonly from: number;
}

function requestOf(own: Call, gfid: Gfid, type: 'read' | 'write' | 'unlock'): Args<'inodelk'> {
  return {
    loc: locOf(gfid),
    domain: migrationDomain,
    command: type === 'unlock' ? 'unlock' : 'try',
    flock: { type, start: 0, length: 0, owner: own.lockOwner, pid: 0 },
  };
}

function request(
  d: Distribute,
  own: Call,
  { gfid, from }: Held,
  type: 'read' | 'write' | 'unlock',
): Promise<Reply<'inodelk'>> {
  return d.children[from]!.inodelk(own, requestOf(own, gfid, type));
}

/** The same as a step of a compound. */
export function holdStep(own: Call, gfid: Gfid, type: 'write' | 'unlock'): RawStep {
  return compoundStep('inodelk', requestOf(own, gfid, type));
}

/** A graph without features/locks has a single client. */
function isUnknown(reply: Reply<'inodelk'>): boolean {
  return (
    !reply.ok && (reply.errno === Errno.EOPNOTSUPP || reply.errno === Errno.ENOSYS || reply.errno === Errno.EINVAL)
  );
}

/** From now on it is remembered what is written. `unwatched`: the bricks cannot do that. */
export async function beginWatch(d: Distribute, own: Call, file: Held): Promise<'watched' | 'unwatched' | 'busy'> {
  const reply = await request(d, own, file, 'read');
  if (reply.ok) {
    await barrier(d, own, file);
    return 'watched';
  }
  return reply.errno === Errno.EAGAIN ? 'busy' : 'unwatched';
}

/** False: the file may have the barrier's xattr still. */
export async function endWatch(d: Distribute, own: Call, file: Held): Promise<boolean> {
  const isClear = await clearBarrier(d, own, file);
  await request(d, own, file, 'unlock');
  return isClear;
}

/**
 * What was written before this, and not told by the call before the last; undefined: it is not known. Over replicas a write
 * can be here under one watch, there under the next: the barrier has it on all before one of them is asked.
 */
export async function nextWritten(d: Distribute, own: Call, file: Held): Promise<Span[] | undefined> {
  if (!(await request(d, own, file, 'read')).ok) return undefined;
  await barrier(d, own, file);
  return written(d, own, file);
}

export async function written(d: Distribute, own: Call, { gfid, from }: Held): Promise<Span[] | undefined> {
  const reply = await d.children[from]!.getxattr(own, { loc: locOf(gfid), name: writtenXattr });
  const value = reply.ok ? reply.xattrs[writtenXattr] : undefined;
  return value && spansOf(value);
}

function spansOf(value: Uint8Array): Span[] | undefined {
  try {
    const given: unknown = JSON.parse(Buffer.from(value).toString('latin1'));
    if (!Array.isArray(given)) return undefined;
    const spans = given.map((one: unknown): Span | undefined => {
      if (!Array.isArray(one) || one.length !== 2 || !Number.isSafeInteger(one[0])) return undefined;
      if (one[1] === null) return [one[0] as number, Number.POSITIVE_INFINITY];
      return Number.isSafeInteger(one[1]) ? [one[0] as number, one[1] as number] : undefined;
    });
    return spans.every((span) => span !== undefined) ? spans : undefined;
  } catch {
    // Whatever that is: all counts as written.
    return undefined;
  }
}

/** A change: where several bricks have the file, others' changes under way are on all of them before it is done. */
async function barrier(d: Distribute, own: Call, { gfid, from }: Held): Promise<void> {
  const loc = locOf(gfid);
  const now = await d.children[from]!.stat(own, { loc });
  if (!now.ok) return;
  await d.children[from]!.setxattr(asOf(own, now.iatt), {
    loc,
    xattrs: { [d.names.moving]: Buffer.from('1') },
    flags: 0,
  });
}

export async function clearBarrier(d: Distribute, own: Call, { gfid, from }: Held): Promise<boolean> {
  const loc = locOf(gfid);
  const now = await d.children[from]!.stat(own, { loc });
  if (!now.ok) return now.errno === Errno.ENOENT || now.errno === Errno.ESTALE;
  const cleared = await d.children[from]!.removexattr(asOf(own, now.iatt), { loc, name: d.names.moving });
  return cleared.ok || cleared.errno === Errno.ENODATA;
}

/** For changes that nobody is to see by the time of the file's last change. */
export function asOf(own: Call, { ctime, ctimeNsec }: Iatt): Call {
  return { ...own, time: { sec: ctime, nsec: ctimeNsec } };
}

/** `alone`: nobody else could have it. `locked`: by applications. */
export async function hold(
  d: Distribute,
  own: Call,
  file: Held,
): Promise<'held' | 'alone' | 'locked' | 'busy' | Failure> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    if (attempt > 0) {
      await d.services.clock.sleep(pauseMs);
      await barrier(d, own, file);
    }
    const reply = await request(d, own, file, 'write');
    if (reply.ok && attempt > 0) await clearBarrier(d, own, file);
    if (reply.ok) return 'held';
    if (isUnknown(reply)) return 'alone';
    if (reply.errno === Errno.EBUSY) return 'locked';
    if (reply.errno !== Errno.EAGAIN) return reply;
  }
  return 'busy';
}

/** Where one of several processes fills a linkto it is the only one: the others, who want to hold it to empty it, are refused. */
export async function beginGuard(d: Distribute, own: Call, file: Held): Promise<'guarded' | 'unguarded' | 'busy'> {
  const reply = await request(d, own, file, 'read');
  if (reply.ok) return 'guarded';
  return reply.errno === Errno.EAGAIN ? 'busy' : 'unguarded';
}

/** Whether it has been so all the time. */
export async function isGuarded(d: Distribute, own: Call, file: Held): Promise<boolean> {
  return (await written(d, own, file)) !== undefined;
}

export async function endGuard(d: Distribute, own: Call, file: Held): Promise<void> {
  await request(d, own, file, 'unlock');
}

/** Held at once or not at all. True also where nobody else could have it. */
export async function holdNow(d: Distribute, own: Call, file: Held): Promise<boolean> {
  const reply = await request(d, own, file, 'write');
  return reply.ok || isUnknown(reply);
}

export async function endHold(d: Distribute, own: Call, file: Held): Promise<void> {
  await request(d, own, file, 'unlock');
}
