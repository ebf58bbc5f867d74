/**
 * `setfattr -n trusted.io-stats-dump -v NAME FILE`: every io-stats on the way writes its statistics to `NAME.XLATOR` in
 * the run directory. A command, not an attribute: it never reaches the disk.
 */
import type { ByteString, RawStep, Xattrs } from '@mortar/core';

const command: ByteString = 'trusted.io-stats-dump';
const nameMax = 128;

/** The name that a setxattr asks for, or undefined if it is none of ours. */
export function dumpName(xattrs: Xattrs): string | undefined {
  if (!Object.hasOwn(xattrs, command)) return undefined;
  const text = Buffer.from(xattrs[command]!).toString('latin1').replace(/\0.*$/s, '').replace(/^\/+/, '');
  return text.replaceAll(/[^\w.-]/g, '-').slice(0, nameMax);
}

export function withoutCommand(xattrs: Xattrs): Xattrs {
  return Object.fromEntries(Object.entries(xattrs).filter(([name]) => name !== command));
}

export function isCommandStep({ fop, args }: RawStep): boolean {
  return (fop === 'setxattr' || fop === 'fsetxattr') && dumpName((args as { xattrs: Xattrs }).xattrs) !== undefined;
}
