/**
 * What a rename has replaced, and could not take away: its client died between the two. The linkto that shows the new name says what it
 * replaced (docs/distribute.md, "Order"), from before it is shown. Whoever walks the volume takes that away.
 */
import { type Args, type ByteString, type Call, type Gfid, isGfid, locAt, type Xattrs } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { meaningData } from './linkto.ts';
import type { Done } from './linkto-files.ts';
import { withNames } from './locks.ts';
import { askArgs, isAbsent, isData } from './lookup.ts';
import { removeMark } from './marks.ts';

interface Name {
  readonly parent: Gfid;
  readonly name: ByteString;
}

/** The xattr of a linkto that is to be shown under this name: it replaces a file. It means nothing under any other name. */
export function replacing(d: Distribute, { parent, name }: Name, replaced: Gfid): Xattrs {
  return { [d.names.replaced]: Buffer.from(`${replaced}/${parent}/${name}`, 'latin1') };
}

/** What was replaced under this name; undefined: nothing that is known. */
export function replacedUnder(d: Distribute, { parent, name }: Name, xattrs: Xattrs): Gfid | undefined {
  const value = xattrs[d.names.replaced];
  const text = value ? Buffer.from(value).toString('latin1') : '';
  const gfid = text.slice(0, 36);
  return isGfid(gfid) && text.slice(36) === `/${parent}/${name}` ? gfid : undefined;
}

/** `child`: has the name, with that xattr. Takes away what was replaced, wherever it has the name still, if the new file is there. */
export async function removeReplaced(d: Distribute, call: Call, child: number, at: Name): Promise<Done> {
  const own = d.ownCall(call);
  const loc = locAt(at.parent, at.name);
  const hashed = await d.hashedOf(own, at.parent, at.name);
  if (isFailure(hashed)) return isAbsent(hashed) ? { ok: true } : hashed;
  const names = [child, hashed].map((one) => ({ child: one, ...at }));
  const done = await withNames(d, call, names, async (): Promise<Done> => {
    const ask = askArgs(d, { loc, want: [d.names.replaced] });
    const replies = await d.ask(d.indices, (one) => one.lookup(own, ask));
    const unsure = replies.find((reply) => !reply.ok && !isAbsent(reply));
    if (unsure && !unsure.ok) return unsure;
    const here = replies[child]!;
    if (!here.ok) return { ok: true };
    const replaced = replacedUnder(d, at, here.xattrs);
    if (replaced === undefined || replaced === here.iatt.gfid) return { ok: true };
    const having = (gfid: Gfid) => d.indices.filter((i) => isData(d, replies[i]!) && gfidAt(replies[i]!) === gfid);
    // A rename that was taken back, or an old file that has come to where it is seen: the name is its own, whatever it should be.
    if (having(here.iatt.gfid).length === 0 || having(replaced).includes(hashed)) return { ok: true };
    for (const i of having(replaced)) {
      const old: Args<'unlink'> = meaningData<Args<'unlink'>>({ loc: { ...loc, gfid: replaced } }, d.names.linkto);
      const removed = await d.children[i]!.unlink(own, old);
      if (!removed.ok && !isAbsent(removed)) return removed;
      if (removed.ok)
        d.warn(`${at.parent}/${at.name}: ${replaced} was replaced, and is removed from ${d.childName(i)}`);
    }
    return removeMark(d, own, child, here.iatt, d.names.replaced);
  });
  return isFailure(done) ? done : { ok: true };
}

function gfidAt(reply: { ok: boolean; iatt?: { gfid: Gfid } }): Gfid | undefined {
  return reply.ok ? reply.iatt?.gfid : undefined;
}
