/** Extended attributes by path. */
import { type ByteString, Errno, type Gfid, locOf, type Reply } from '@mortar/core';
import { xattrMaxBytes } from '@mortar/host';
import type { CallOptions } from './client.ts';
import { fsError } from './errors.ts';
import { nameAs, pathText, type VolumePath } from './paths.ts';
import { asLink, fails, follow, type Outcome, type Places } from './places.ts';
import type { How } from './walk.ts';
import { type SetXattrOptions, shownNames, valueIn, xattrFlags, xattrProblem } from './xattrs.ts';

export interface XattrOptions extends CallOptions {
  /** False: of a link itself. */
  follow?: boolean;
}

const howOf = (options: XattrOptions): How => (options.follow === false ? asLink : follow);

export async function getXattr(
  places: Places,
  path: VolumePath,
  name: ByteString,
  options: XattrOptions,
): Promise<Buffer> {
  const { xattrs } = await places.at<Reply<'getxattr'>>(path, howOf(options), 'getxattr', options, async ({ file }) => {
    const errno = xattrProblem(name, places.who.uid, file!.type, false);
    if (errno !== 0) return fails(errno);
    return places.run(options, (top, call) => top.getxattr(call, { loc: locOf(file!.gfid), name }));
  });
  const value = valueIn(xattrs, name);
  if (typeof value === 'number') throw fsError(value, 'getxattr', { path: pathText(path) });
  return Buffer.from(value);
}

export async function listXattrs(places: Places, path: VolumePath, options: XattrOptions): Promise<string[]> {
  const { xattrs } = await places.at(path, howOf(options), 'listxattr', options, async ({ file }) =>
    places.run(options, (top, call) => top.getxattr(call, { loc: locOf(file!.gfid) })),
  );
  return shownNames(xattrs, places.who.uid).map((name) => nameAs(name, 'utf8') as string);
}

export async function setXattr(
  places: Places,
  path: VolumePath,
  name: ByteString,
  value: Uint8Array,
  options: XattrOptions & SetXattrOptions,
): Promise<void> {
  const args = { xattrs: { [name]: value }, flags: xattrFlags(options) };
  await change(places, path, name, 'setxattr', options, async (gfid) =>
    value.length > xattrMaxBytes
      ? fails(Errno.E2BIG)
      : places.run(options, (top, call) => top.setxattr(call, { loc: locOf(gfid), ...args })),
  );
}

export async function removeXattr(
  places: Places,
  path: VolumePath,
  name: ByteString,
  options: XattrOptions,
): Promise<void> {
  await change(places, path, name, 'removexattr', options, (gfid) =>
    places.run(options, (top, call) => top.removexattr(call, { loc: locOf(gfid), name })),
  );
}

async function change(
  places: Places,
  path: VolumePath,
  name: ByteString,
  syscall: string,
  options: XattrOptions,
  work: (gfid: Gfid) => Promise<Outcome>,
): Promise<void> {
  await places.at<Outcome>(path, howOf(options), syscall, options, async ({ file }) => {
    const errno = xattrProblem(name, places.who.uid, file!.type, true);
    return errno === 0 ? work(file!.gfid) : fails(errno);
  });
}
