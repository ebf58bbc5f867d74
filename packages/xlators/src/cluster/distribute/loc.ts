import { type Loc, locAt } from '@mortar/core';

/** Only the name: whatever is there now. */
export function withoutIdentity(loc: Loc): Loc {
  return locAt(loc.parent!, loc.name!);
}
