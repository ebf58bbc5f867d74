/**
 * Keeps a client within one directory of the volume: whatever a request names by gfid must have a name there at this
 * moment, or be open in the client's session. Nothing is remembered, so what is moved out is out at once. docs/management.md
 * says what a client in a directory still learns.
 */
import {
  type Args,
  type Call,
  Errno,
  type Fd,
  type Fields,
  type FopName,
  fops,
  type Gfid,
  type Loc,
  locOf,
  type RawStep,
  type Subvolume,
} from '@mortar/core';
import type { Subtree } from '@mortar/rpc';
import { decodePlace, liesBelowXattr, type Place } from '../../lib/lies-below.ts';
import { syncOperation } from '../../lib/sync-request.ts';

type Bag = Record<string, unknown>;

/** What a graph of translators asks of the directories above. */
const onTheWay: ReadonlySet<FopName> = new Set<FopName>(['lookup', 'stat', 'statfs']);
/** They work on what has no name, or on no file. */
const never: ReadonlySet<FopName> = new Set<FopName>(['icreate', 'namelink']);
/** To write to the disk what was changed is nobody's harm. */
const harmlessRequests: ReadonlySet<string> = new Set([syncOperation]);

/** What this session has open. */
export interface OpenFds {
  has(fd: Fd): boolean;
  all(): Iterable<[number, Fd]>;
}

interface Request {
  readonly ops: Subvolume;
  readonly call: Call;
  readonly within: Subtree;
  readonly fds: OpenFds;
  /** Made by earlier steps of the same compound. */
  readonly made: Set<Gfid>;
}

class Refused extends Error {
  readonly errno: Errno;

  constructor(errno: Errno) {
    super('refused');
    this.errno = errno;
  }
}

/** Whether all that a request names are files that the session has open: no more needs to be asked. */
export function isOnOpenFiles(fop: FopName, args: Args<FopName>, fds: OpenFds): boolean {
  if (fop === 'compound') return stepsOf(args).every((step) => isOnOpenFiles(fopOf(step), argsOf(step), fds));
  if (fop === 'ipc' || never.has(fop)) return false;
  const row: Fields = fops[fop].args;
  return Object.entries(row).every(([key, { kind }]) => {
    if (kind === 'loc' || kind === 'gfid') return (args as unknown as Bag)[key] === undefined;
    return kind !== 'fd' || fds.has((args as unknown as Bag)[key] as Fd);
  });
}

/** The arguments to go on with, or the errno of the refusal. `call`: the brick's own, for questions to the storage. */
export async function confine(
  ops: Subvolume,
  call: Call,
  within: Subtree,
  fds: OpenFds,
  fop: FopName,
  args: Args<FopName>,
): Promise<Args<FopName> | Errno> {
  try {
    return await screen({ ops, call, within, fds, made: new Set() }, fop, args);
  } catch (error) {
    if (error instanceof Refused) return error.errno;
    throw error;
  }
}

async function screen(request: Request, fop: FopName, args: Args<FopName>): Promise<Args<FopName>> {
  if (never.has(fop)) throw new Refused(Errno.EPERM);
  if (fop === 'ipc' && !harmlessRequests.has((args as Args<'ipc'>).operation)) throw new Refused(Errno.EPERM);
  if (fop === 'compound') {
    const steps: RawStep[] = [];
    for (const step of stepsOf(args))
      steps.push({ fop: step.fop, args: await screen(request, fopOf(step), argsOf(step)) });
    return { ...args, steps } as Args<FopName>;
  }
  const screened: Bag = { ...args };
  for (const [key, { kind }] of Object.entries(fops[fop].args as Fields)) {
    const value = screened[key];
    if (value === undefined) continue;
    if (kind === 'loc') screened[key] = await location(request, fop, value as Loc, screened);
    else if (kind === 'fd') await openFile(request, value as Fd, screened);
    else if (kind === 'gfid') await newObject(request, fop, value as Gfid);
  }
  return screened as unknown as Args<FopName>;
}

async function location(request: Request, fop: FopName, loc: Loc, screened: Bag): Promise<Loc> {
  if (isWay(request.within, fop, loc)) {
    // Of directories above nothing is read but what the translators keep there.
    if (Array.isArray(screened.want))
      screened.want = screened.want.filter((name: string) => name.startsWith('trusted.'));
    return loc;
  }
  if (loc.gfid !== null && fop !== 'lookup' && fops[fop].class !== 'entry') {
    if (!request.made.has(loc.gfid)) await inside(request, loc.gfid);
    // The name is no matter to these; of the directory itself it lies outside.
    return locOf(loc.gfid);
  }
  if (loc.parent !== null && !request.made.has(loc.parent)) await inside(request, loc.parent);
  if (loc.gfid === null || request.made.has(loc.gfid)) return loc;
  const place = await placeOf(request, loc.gfid);
  if (place === 'nowhere') {
    // The name decides: what lies below must not find anything else by this gfid.
    if (loc.parent === null) throw new Refused(Errno.ESTALE);
    return { ...loc, gfid: null };
  }
  permit(request, loc.gfid, place);
  return loc;
}

/** A directory above by its gfid, or the next one by its name. */
function isWay({ above, gfid: root }: Subtree, fop: FopName, { gfid, parent, name }: Loc): boolean {
  if (!onTheWay.has(fop)) return false;
  if (parent === null) return gfid !== null && above.has(gfid);
  return above.get(parent) === name && (gfid === null || gfid === root || above.has(gfid));
}

/** An fd that is open in the session was let in when it was opened; others (anonymous, or to be opened now) go by gfid. */
async function openFile(request: Request, fd: Fd, screened: Bag): Promise<void> {
  if (request.fds.has(fd) || request.made.has(fd.gfid) || screened.gfid === fd.gfid) return;
  await inside(request, fd.gfid);
}

/** For something new: a gfid that is in use means that object. */
async function newObject(request: Request, fop: FopName, gfid: Gfid): Promise<void> {
  const place = await placeOf(request, gfid);
  if (place !== 'nowhere') permit(request, gfid, place);
  if (fops[fop].class === 'entry') request.made.add(gfid);
}

async function inside(request: Request, gfid: Gfid): Promise<void> {
  const place = await placeOf(request, gfid);
  if (place === 'nowhere') throw new Refused(Errno.ESTALE);
  permit(request, gfid, place);
}

function permit({ fds }: Request, gfid: Gfid, place: Place): void {
  if (place === 'below' || (place === 'nameless' && hasOpen(fds, gfid))) return;
  throw new Refused(place === 'nameless' ? Errno.ESTALE : Errno.EACCES);
}

function hasOpen(fds: OpenFds, gfid: Gfid): boolean {
  for (const [, fd] of fds.all()) if (fd.gfid === gfid) return true;
  return false;
}

async function placeOf({ ops, call, within }: Request, gfid: Gfid): Promise<Place | 'nowhere'> {
  if (gfid === within.gfid) return 'below';
  const name = liesBelowXattr(within.gfid);
  const reply = await ops.getxattr(call, { loc: locOf(gfid), name });
  if (!reply.ok) {
    if (reply.errno === Errno.ESTALE || reply.errno === Errno.ENOENT) return 'nowhere';
    throw new Refused(reply.errno);
  }
  const place = decodePlace(reply.xattrs[name]);
  if (place === undefined) throw new Refused(Errno.EACCES);
  return place;
}

function stepsOf(args: Args<FopName>): readonly RawStep[] {
  return (args as unknown as { steps: readonly RawStep[] }).steps;
}

function fopOf(step: RawStep): FopName {
  return step.fop as FopName;
}

function argsOf(step: RawStep): Args<FopName> {
  return step.args as Args<FopName>;
}
