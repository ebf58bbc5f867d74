import { type Fop, type FopName, fopNames, type Subvolume } from '@mortar/core';
import { fopConformance } from '@mortar/testing/conformance/index.ts';
import { describe } from 'vitest';
import { posixRig } from './rig.ts';

fopConformance(posixRig);

/** As if the disk were slow everywhere. */
function offloading(ops: Subvolume): Subvolume {
  const all = fopNames.map((name) => {
    const run = ops[name] as Fop<FopName>;
    const offloaded: Fop<FopName> = (call, args) => run(call, { ...args, xdata: { ...args.xdata, offload: true } });
    return [name, offloaded];
  });
  return { ...ops, ...(Object.fromEntries(all) as Partial<Subvolume>) };
}

describe('every call off the event loop:', () => {
  fopConformance(async () => {
    const rig = await posixRig();
    return { ...rig, ops: offloading(rig.ops) };
  });
});
