/**
 * What an entry operation believes of the layout of its directory (xdata `layout`): the directory's xattrs that must be
 * as said on the brick, one a line, `NAME=HEX`. Distributes over one another add a line each.
 */
import { type ByteString, withXdata, type Xdata } from '@mortar/core';

const claimMaxLength = 8192;

/** `args` with one more claim. */
export function withClaim<A extends { xdata?: Xdata }>(args: A, xattr: ByteString, value: Uint8Array): A {
  const line = `${xattr}=${Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')}`;
  const before = args.xdata?.layout;
  return withXdata(args, { layout: before === undefined ? line : `${before}\n${line}` });
}

/**
 * Whether a directory is as an operation believes; `xattrOf` reads its xattrs. One without such an xattr contradicts
 * nobody: it may have been made just now by heal, which brings its xattrs next.
 */
export function claimHolds(claim: string, xattrOf: (name: ByteString) => Uint8Array | undefined): boolean {
  if (claim.length > claimMaxLength) return false;
  return claim.split('\n').every((line) => {
    const split = line.lastIndexOf('=');
    if (split <= 0) return false;
    const value = xattrOf(line.slice(0, split));
    return value === undefined || Buffer.from(value).toString('hex') === line.slice(split + 1);
  });
}
