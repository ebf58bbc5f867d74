/** Files that are being moved to another brick are left alone by all but the one that moves them. */
import {
  type Args,
  type Call,
  Errno,
  type Failure,
  type Fd,
  type Fop,
  type FopName,
  fail,
  type Gfid,
  type Loc,
  type Reply,
} from '@mortar/core';
import { linktoMode } from './linkto.ts';
import type { Migrations } from './migrations.ts';

/** Runs the request when nobody else moves any of its files, and lets who moves one of them know of it. */
export async function runGated(
  migrations: Migrations,
  name: FopName,
  own: Fop<FopName>,
  call: Call,
  args: Args<FopName>,
): Promise<Reply<FopName>> {
  const gfids = gfidsOf(args);
  const refused = await passGate(migrations, call, gfids, upkeep.has(name));
  if (refused) return refused;
  if (args.xdata?.whileHeld && !gfids.every((gfid) => migrations.mayEnd(call, gfid))) return fail(Errno.ESTALE);
  const reply = await migrations.counted(call, name, args, gfids, () => own(call, args));
  if (reply.ok && takesAway(name, args)) for (const gfid of gfids) migrations.left(call, gfid);
  return reply;
}

/** When none of the files is held by somebody who moves it: null, or why it cannot be waited for. */
export async function passGate(
  migrations: Migrations,
  call: Call,
  gfids: readonly Gfid[],
  isUpkeep = false,
): Promise<Failure | null> {
  const gateOf = (gfid: Gfid) => migrations.gate(call, gfid, isUpkeep);
  for (const gfid of gfids)
    for (let gate = gateOf(gfid); gate; gate = gateOf(gfid)) {
      const refused = await gate;
      if (refused) return refused;
    }
  return null;
}

/** Whether it comes by a descriptor of a file that was moved away. */
export function isByDeadFd(migrations: Migrations, args: Args<FopName>): boolean {
  const { fd, from, to } = args as { fd?: Fd; from?: Fd; to?: Fd };
  if (fd) return migrations.isDead(fd);
  return (from !== undefined && migrations.isDead(from)) || (to !== undefined && migrations.isDead(to));
}

/** The files that a request is about, as far as it says. */
function gfidsOf(args: Args<FopName>): Gfid[] {
  const { loc, fd, from, to, gfid } = args as { loc?: Loc; fd?: Fd; from?: Loc | Fd; to?: Loc | Fd; gfid?: Gfid };
  // A linkto that is made of a gfid that is here becomes one more name of it.
  return [...[loc, fd, from, to].flatMap((one) => one?.gfid ?? []), ...(gfid ? [gfid] : [])];
}

/** What replicas do for a change, or when they are done with it. */
const upkeep: ReadonlySet<FopName> = new Set(['xattrop', 'fxattrop', 'fsync', 'fsyncdir']);

/** What the mover of a file does to it where it was, once it is elsewhere: its names go, or it becomes a linkto. */
function takesAway(name: FopName, args: Args<FopName>): boolean {
  return name === 'unlink' || (name === 'setattr' && (args as Args<'setattr'>).attr.mode === linktoMode);
}
