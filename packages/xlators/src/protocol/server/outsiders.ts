/**
 * Clients without the credentials of the trusted volfile (mounts outside of the pool) run the cluster translators as well, and
 * these have calls of their own: locks, marks of changes, layouts. They may say any uid as it is, so nothing is lost by letting
 * them; but where root is squashed, a call that claims to be internal must not be root by another name.
 */
import type { Args, FopName, RawStep, Xattrs } from '@mortar/core';

/** What keeps copies and layouts in line, and reads no file. */
const harmless: ReadonlySet<FopName> = new Set<FopName>([
  ...(['lookup', 'stat', 'fstat', 'statfs', 'getxattr', 'fgetxattr'] as const),
  ...(['opendir', 'readdir', 'readdirp'] as const),
  ...(['inodelk', 'finodelk', 'entrylk', 'fentrylk', 'xattrop', 'fxattrop'] as const),
]);
const marks = /^trusted\.(glusterfs\.dht|afr\.)/;

/** Whether a client that proved nothing may do this as an internal call although the volume squashes root. */
export function mayOutsider(fop: FopName, args: Args<FopName>): boolean {
  if (harmless.has(fop)) return true;
  if (fop === 'setxattr' || fop === 'fsetxattr')
    return Object.keys((args as { xattrs: Xattrs }).xattrs).every((name) => marks.test(name));
  if (fop === 'compound')
    return (args as { steps: readonly RawStep[] }).steps.every((step) =>
      mayOutsider(step.fop as FopName, step.args as Args<FopName>),
    );
  return false;
}
