/** Fops by the names that people use: GlusterFS's capitals in statistics, any case and both spellings in options. */
import { type FopName, fopNames, nearest, OptionError } from '@mortar/core';

const ownNames: Partial<Record<FopName, string>> = { readv: 'READ', writev: 'WRITE' };

/** `READ` of readv, `LOOKUP` of lookup. */
export function glusterFopName(fop: FopName): string {
  return ownNames[fop] ?? fop.toUpperCase();
}

const byName = new Map<string, FopName>(
  fopNames.flatMap((fop) => [
    [fop, fop],
    [glusterFopName(fop).toLowerCase(), fop],
  ]),
);

/** The fop of a name as an option gives it, or undefined. */
export function fopNamed(name: string): FopName | undefined {
  return byName.get(name.toLowerCase());
}

/** The fops of an option such as `lookup,WRITE`; undefined for an empty text. Throws OptionError on a name that is none. */
export function fopList(option: string, text: string): ReadonlySet<FopName> | undefined {
  const names = text.split(/[\s,]+/).filter((name) => name !== '');
  if (names.length === 0) return undefined;
  const fops = names.map((name) => {
    const fop = fopNamed(name);
    if (fop) return fop;
    const near = nearest(name.toLowerCase(), byName.keys());
    throw new OptionError(option, `option ${option}: unknown fop '${name}'${near ? `; did you mean '${near}'?` : ''}`);
  });
  return new Set(fops);
}
