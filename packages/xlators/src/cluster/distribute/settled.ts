/**
 * A directory is settled when each name that any child has of it is there where it hashes to, be it as a linkto. Then it gets the volume's commit
 * hash, by which clients believe that child when it says that there is no such name (/docs/distribute.md, Settled).
 */
import { type Call, Fd, type Gfid, locOf } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { isLinktoEntry } from './empty.ts';
import { childOfHash, encodeRange, type Layout, LayoutType, type Range } from './layout.ts';
import { type Ask, type Copy, pageOf, Reading } from './listing.ts';
import { withLayout } from './locks.ts';
import { askArgs, discover, isAbsent, isDirectory } from './lookup.ts';
import { copiesOf, isWhole } from './lookup-directory.ts';

const pageBytes = 64 * 1024;

/** `gone`: there is no such directory (any more). */
export type Settled = 'settled' | 'unsettled' | 'gone';

/** Looks at the whole directory, and gives it the volume's commit hash if it is settled. */
export async function markSettled(
  d: Distribute,
  call: Call,
  gfid: Gfid,
  isOver: () => boolean = () => false,
): Promise<Settled> {
  const own = d.ownCall(call);
  const found = await discover(d, own, gfid);
  if (!found.ok) return isAbsent(found) ? 'gone' : 'unsettled';
  const state = d.stateOf(gfid);
  if (state?.kind !== 'directory') return 'gone';
  const { layout } = state;
  if (layout.commit === d.volumeCommit) return 'settled';
  const ranges = rangesOf(layout);
  if (!ranges || !(await isInPlace(d, own, gfid, layout, isOver))) return 'unsettled';
  return (await mark(d, own, gfid, ranges)) ? 'settled' : 'unsettled';
}

/** Undefined: it is laid out by hand, or not wholly. */
function rangesOf(layout: Layout): Range[] | undefined {
  if (!isWhole(layout)) return undefined;
  const ranges = layout.parts.flatMap((part) =>
    part.state === 'range' && part.range.type !== LayoutType.user ? [part.range] : [],
  );
  return ranges.length === layout.parts.length ? ranges : undefined;
}

async function isInPlace(
  d: Distribute,
  own: Call,
  gfid: Gfid,
  layout: Layout,
  isOver: () => boolean,
): Promise<boolean> {
  const fds = d.indices.map(() => new Fd(gfid));
  try {
    const opened = await d.ask(d.indices, (child, i) => child.opendir(own, { loc: locOf(gfid), fd: fds[i]! }));
    if (opened.some((reply) => !reply.ok)) return false;
    const want = [d.names.linkto];
    const ask: Ask = (child, size, offset) => d.children[child]!.readdirp(own, { fd: fds[child]!, size, offset, want });
    const reading = new Reading(d);
    for (let offset = 0; !isOver(); ) {
      const page = await pageOf(reading, { size: pageBytes, offset }, ask);
      if (isFailure(page)) return false;
      for (const [name, copies] of page.names) if (!isNameInPlace(d, layout, name, copies)) return false;
      if (page.end) return true;
      offset = page.through;
    }
    return false;
  } finally {
    for (const fd of fds) fd.release();
  }
}

/** Linktos alone lead nowhere. */
function isNameInPlace(d: Distribute, layout: Layout, name: string, copies: readonly Copy[]): boolean {
  if (name === '.' || name === '..') return true;
  const hashed = childOfHash(layout, d.hasher.hash(name));
  return copies.some(({ child }) => child === hashed) || copies.every(({ entry }) => isLinktoEntry(d, entry));
}

/** Unless it has been laid out anew since it was looked at. */
async function mark(d: Distribute, own: Call, gfid: Gfid, ranges: readonly Range[]): Promise<boolean> {
  const loc = locOf(gfid);
  const done = await withLayout(d, own, d.indices, gfid, async () => {
    const replies = await d.ask(d.indices, (child) => child.lookup(own, askArgs(d, { loc })));
    if (!replies.every(isDirectory)) return false;
    const { parts } = copiesOf(d, replies, undefined).layout;
    const isSame = parts.every((part, i) => part.state === 'range' && equals(part.range, ranges[i]!));
    if (!isSame) return false;
    const written = await d.ask(d.indices, (child, i) => {
      const range = encodeRange({ ...ranges[i]!, commit: d.volumeCommit });
      return child.setxattr(own, { loc, xattrs: { [d.names.layout]: range }, flags: 0 });
    });
    return written.every((reply) => reply.ok);
  });
  return done === true;
}

function equals(a: Range, b: Range): boolean {
  return a.start === b.start && a.stop === b.stop && a.commit === b.commit && a.type === b.type;
}
