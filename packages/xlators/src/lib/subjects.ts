/** Whom an operation changes, and what its reply tells: read off the fop table, so that a new fop is covered. Pure. */
import {
  type Fd,
  Fd as FdClass,
  type FopClass,
  type FopName,
  fops,
  type Gfid,
  type Iatt,
  isKnownIatt,
  type Loc,
  nullGfid,
  type RawStep,
} from '@mortar/core';

const changing: ReadonlySet<FopClass> = new Set(['data', 'metadata', 'entry']);

/** Opening may truncate; xattrs and attributes change with these classes only. */
export function isChange(fop: FopName, args: object): boolean {
  if (fop === 'open') return ((args as { flags: number }).flags & openTruncate) !== 0;
  if (fop === 'fsync' || fop === 'fsyncdir') return false;
  return changing.has(fops[fop].class);
}

const openTruncate = 0o1000;

export interface Subjects {
  readonly gfids: Gfid[];
  /** Names that are given, taken away or replaced, whose inodes the caller did not tell. */
  readonly names: { parent: Gfid; name: string }[];
}

/** Inodes and names in the arguments. */
export function subjectsOf(fop: FopName, args: object): Subjects {
  const gfids = new Set<Gfid>();
  const names: Subjects['names'] = [];
  const take = (value: unknown, kind: string) => {
    if (kind === 'fd' && value instanceof FdClass) gfids.add((value as Fd).gfid);
    if (kind === 'gfid' && value !== nullGfid) gfids.add(value as Gfid);
    if (kind !== 'loc') return;
    const { gfid, parent, name } = value as Loc;
    if (gfid && gfid !== nullGfid) gfids.add(gfid);
    if (parent === null || name === null) return;
    gfids.add(parent);
    if (!gfid && mayHit(fop, args, value as Loc)) names.push({ parent, name });
  };
  for (const [name, field] of Object.entries(fops[fop].args)) {
    const value = (args as Record<string, unknown>)[name];
    if (value !== undefined && value !== null) take(value, field.kind);
  }
  return { gfids: [...gfids], names };
}

const makers: ReadonlySet<FopName> = new Set(['mknod', 'mkdir', 'symlink', 'icreate', 'namelink']);

/** Whether an inode that the name has now may be changed: not by those who only make what is not there. */
function mayHit(fop: FopName, args: object, loc: Loc): boolean {
  if (makers.has(fop)) return false;
  if (fop === 'create') return ((args as { flags: number }).flags & openTruncate) !== 0;
  return fop !== 'link' || (args as { to: Loc }).to !== loc;
}

/** The steps of a compound change what each of them changes; with `reads` those that change nothing count, too. */
export function subjectsOfSteps(steps: readonly RawStep[], reads = false): Subjects {
  const all = steps
    .filter((step) => reads || isChange(step.fop as FopName, step.args))
    .map((step) => subjectsOf(step.fop as FopName, step.args));
  return { gfids: [...new Set(all.flatMap((one) => one.gfids))], names: all.flatMap((one) => one.names) };
}

/** The names of the attributes in a reply to each fop. */
const iattFields = new Map(
  (Object.keys(fops) as FopName[]).map((fop) => [
    fop,
    Object.entries(fops[fop].reply).flatMap(([name, { kind }]) => (kind === 'iatt' ? [name] : [])),
  ]),
);

export function iattFieldsOf(fop: FopName): readonly string[] {
  return iattFields.get(fop)!;
}

/** Attributes in a reply that are of after the operation, and complete. */
export function iattsOf(fop: FopName, reply: object): Iatt[] {
  const iatts: Iatt[] = [];
  for (const name of iattFieldsOf(fop)) {
    if (name.startsWith('pre')) continue;
    const iatt = (reply as Record<string, Iatt | undefined>)[name];
    if (iatt && isKnownIatt(iatt)) iatts.push(iatt);
  }
  return iatts;
}
