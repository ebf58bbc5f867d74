import {
  type Args,
  Errno,
  type FopName,
  fopNames,
  fops,
  isValidName,
  type Loc,
  nameMaxBytes,
  type RawStep,
} from '@mortar/core';

/** Arguments of each fop that are locations. */
const locFields = Object.fromEntries(
  fopNames.map((name) => [
    name,
    Object.entries(fops[name].args)
      .filter(([, field]) => field.kind === 'loc')
      .map(([key]) => key),
  ]),
) as Record<FopName, string[]>;

/** What a client may not ask for whatever lies below: names that are none, or an entry operation without a name. */
export function refusalOf(fop: FopName, args: Args<FopName>): Errno | 0 {
  for (const key of locFields[fop]) {
    const { gfid, parent, name } = (args as unknown as Record<string, Loc>)[key]!;
    if (name === null) {
      if (gfid === null) return Errno.EINVAL;
    } else if (name.length > nameMaxBytes) return Errno.ENAMETOOLONG;
    else if (!isValidName(name) || parent === null) return Errno.EINVAL;
  }
  if (fop !== 'compound') return 0;
  for (const step of (args as unknown as { steps: RawStep[] }).steps) {
    const refusal = refusalOf(step.fop as FopName, step.args as Args<FopName>);
    if (refusal !== 0) return refusal;
  }
  return 0;
}
