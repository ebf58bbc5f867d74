/** All names of a file with several, and where it belongs by them: its brick keeps them in xattrs (`trusted.gfid2path.*`, value `PARENT/NAME`). */
import { type Call, type Gfid, type Iatt, isGfid, locOf } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';

export interface NameOfFile {
  readonly parent: Gfid;
  readonly name: string;
}

const pattern = 'trusted.gfid2path.*';

/** In one order whoever asks; undefined: they are not known, or not all of them. */
export async function namesOfFile(
  d: Distribute,
  own: Call,
  child: number,
  gfid: Gfid,
): Promise<NameOfFile[] | undefined> {
  const reply = await d.children[child]!.lookup(own, { loc: locOf(gfid), want: [pattern] });
  if (!reply.ok) return undefined;
  const prefix = pattern.slice(0, -1);
  const names: NameOfFile[] = [];
  for (const [xattr, value] of Object.entries(reply.xattrs)) {
    if (!xattr.startsWith(prefix)) continue;
    const text = Buffer.from(value).toString('latin1');
    const parent = text.slice(0, 36);
    if (isGfid(parent) && text[36] === '/' && text.length > 37) names.push({ parent, name: text.slice(37) });
  }
  const key = (one: NameOfFile) => `${one.parent}/${one.name}`;
  names.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return names.length === reply.iatt.nlink ? names : undefined;
}

/**
 * The child that a file belongs on. One with several names: where it is, if any of them hashes to there, else where the first of them does, so
 * that it does not go from one to the other with every rebalance. Undefined: that cannot be told now.
 */
export async function placeOfFile(
  d: Distribute,
  call: Call,
  { parent, name, from }: NameOfFile & { readonly from: number },
  { gfid, nlink }: Iatt,
): Promise<number | undefined> {
  const to = await d.hashedOf(call, parent, name);
  if (isFailure(to)) return undefined;
  if (nlink < 2 || to === from) return to;
  const names = await namesOfFile(d, d.ownCall(call), from, gfid);
  let first: number | undefined;
  for (const one of names ?? []) {
    const child = await d.hashedOf(call, one.parent, one.name);
    if (child === from) return from;
    if (!isFailure(child)) first ??= child;
  }
  return first ?? to;
}
