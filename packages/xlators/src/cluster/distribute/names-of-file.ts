/** All names of a file with several: its brick keeps them in xattrs (`trusted.gfid2path.*`, value `PARENT/NAME`). */
import { type Call, type Gfid, isGfid, locOf } from '@mortar/core';
import type { Distribute } from './distribute.ts';

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
