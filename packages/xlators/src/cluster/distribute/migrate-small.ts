/**
 * Moves a small file with one name in few requests: it is held first and copied then, so nobody has to remember what is written
 * meanwhile, and what belongs together travels together. Each step leaves what the general way leaves (`migrate.ts`), in the
 * same order. What turns out not to be as simple is left to that one.
 */
import {
  type Call,
  compoundStep,
  Errno,
  Fd,
  FileType,
  type FopName,
  type Iatt,
  locAt,
  locOf,
  type RawReply,
  type RawStep,
  type Reply,
  replyOfStep,
  type Xattrs,
} from '@mortar/core';
import { asOnLinkto } from './acl-of-linkto.ts';
import type { Distribute } from './distribute.ts';
import { asOf, holdStep } from './hold.ts';
import { encodeLinkto, linktoMode, looksLikeLinkto, migratingBits } from './linkto.ts';
import { entryDomain } from './locks.ts';
import { askArgs, type Found, isData, isLinkto } from './lookup.ts';
import { unmark } from './marks.ts';
import { type FileToMove, failed, leftUnsettled, type Moved, skipped } from './moved.ts';
import { isSharedXattr } from './names.ts';
import { heldMaxMs, show } from './show.ts';

/** O_RDWR */
const readWrite = 2;
/** So much is read with the question what the file is. */
export const smallBytes = 64 * 1024;

/** Whether it is worth trying: by what a listing says, or what the file is when it is held. */
export function isSmall(d: Distribute, { iatt, xattrs }: { iatt: Iatt; xattrs: Xattrs }): boolean {
  if (iatt.type !== FileType.regular || iatt.nlink !== 1 || iatt.size > smallBytes) return false;
  // Holes stay holes, and such modes are marks.
  if (iatt.blocks * 512 < iatt.size || iatt.mode === linktoMode || (iatt.mode & migratingBits) === migratingBits)
    return false;
  const { linkto, movingMode, moving } = d.names;
  return ![linkto, movingMode, moving].some((name) => xattrs[name] !== undefined);
}

/** What one child said to the steps of a compound: none of them, if it could not be asked. */
class Answers {
  readonly #replies: readonly RawReply[];

  constructor(reply: Reply<'compound'>) {
    this.#replies = reply.ok ? reply.replies : [];
  }

  at<N extends FopName>(fop: N, index: number): Reply<N> | undefined {
    return replyOfStep(fop, this.#replies, index);
  }

  isOk(index: number): boolean {
    return this.#replies[index]?.ok === true;
  }

  /** Undefined: it was not asked, or nobody knows. */
  errno(index: number): number | undefined {
    const reply = this.#replies[index] as Reply<FopName> | undefined;
    return reply && !reply.ok ? reply.errno : undefined;
  }
}

/** Undefined: nothing was done that anybody sees, and the general way is to be taken. */
export async function migrateSmall(
  d: Distribute,
  own: Call,
  file: FileToMove,
  owner: Pick<Iatt, 'uid' | 'gid'>,
): Promise<Moved | undefined> {
  const small = new SmallMove(d, own, file, owner);
  try {
    return await small.run();
  } finally {
    await small.release();
  }
}

interface Source extends Found {
  readonly data: Uint8Array;
  readonly shared: Xattrs;
}

class SmallMove {
  readonly #d: Distribute;
  readonly #own: Call;
  readonly #file: FileToMove;
  readonly #owner: Pick<Iatt, 'uid' | 'gid'>;
  /** Locks that a child may have given. */
  readonly #locks = new Map<number, Set<'name' | 'file'>>();

  constructor(d: Distribute, own: Call, file: FileToMove, owner: Pick<Iatt, 'uid' | 'gid'>) {
    this.#d = d;
    this.#owner = owner;
    this.#own = own;
    this.#file = file;
  }

  async run(): Promise<Moved | undefined> {
    if (!(await this.#lockAndPrepare())) return undefined;
    // The new place is held before the old one: that one lets others in later.
    const untilMs = this.#d.services.clock.nowMs() + heldMaxMs;
    const source = await this.#holdAndRead();
    if (!source || !(await this.#fill(source))) return undefined;
    const refused = await this.#mark(source);
    if (refused) return refused;
    const isLate = this.#d.services.clock.nowMs() >= untilMs;
    const notShown = await show(this.#d, this.#own, this.#file, source, isLate);
    if (notShown) return notShown;
    return this.#leave(source);
  }

  /** All that are still held; harmless where it never was. */
  async release(): Promise<void> {
    const held = [...this.#locks].filter(([, kinds]) => kinds.size > 0);
    const pending = held.map(([child, kinds]) =>
      this.#ask(
        child,
        [...kinds].map((kind) => this.#unlock(kind)),
      ),
    );
    this.#locks.clear();
    await Promise.all(pending);
  }

  async #ask(child: number, steps: readonly RawStep[], call = this.#own): Promise<Answers> {
    return new Answers(await this.#d.children[child]!.compound(call, { steps: [...steps] }));
  }

  #lock(child: number, kind: 'name' | 'file'): RawStep {
    const kinds = this.#locks.get(child) ?? new Set();
    this.#locks.set(child, kinds.add(kind));
    return kind === 'file' ? holdStep(this.#own, this.#file.gfid, 'write') : this.#entryLock('wait');
  }

  #unlock(kind: 'name' | 'file'): RawStep {
    return kind === 'file' ? holdStep(this.#own, this.#file.gfid, 'unlock') : this.#entryLock('unlock');
  }

  #entryLock(command: 'wait' | 'unlock'): RawStep {
    const { parent, name } = this.#file;
    return compoundStep('entrylk', { loc: locOf(parent), domain: entryDomain, name, command, type: 'write' });
  }

  /** Does it and then gives the locks there back, in one request; what did not come about `release` gives back. */
  async #last(child: number, step: RawStep, call = this.#own): Promise<boolean> {
    const answers = await this.#ask(child, [step, this.#unlock('file'), this.#unlock('name')], call);
    const kinds = this.#locks.get(child);
    if (answers.isOk(1)) kinds?.delete('file');
    if (answers.isOk(2)) kinds?.delete('name');
    return answers.isOk(0);
  }

  /** The name is locked on both, in the order that all take; the linkto at the new place is there and held. */
  async #lockAndPrepare(): Promise<boolean> {
    const { from, to } = this.#file;
    const call = { ...this.#d.callAs(this.#own, this.#owner), lockOwner: this.#own.lockOwner };
    if (from < to) {
      if (!(await this.#ask(from, [this.#lock(from, 'name')])).isOk(0)) return false;
      const there = await this.#ask(to, [this.#lock(to, 'name'), this.#mknod(), this.#lock(to, 'file')], call);
      if (!there.isOk(0)) return false;
      return this.#isNew(there, 1) ? there.isOk(2) : this.#adopt(there.errno(1));
    }
    const there = await this.#ask(to, [this.#lock(to, 'name'), this.#mknod()], call);
    if (!there.isOk(0) || !(await this.#ask(from, [this.#lock(from, 'name')])).isOk(0)) return false;
    if (!this.#isNew(there, 1)) return this.#adopt(there.errno(1));
    return (await this.#ask(to, [this.#lock(to, 'file')])).isOk(0);
  }

  #mknod(): RawStep {
    const { parent, name, gfid, from } = this.#file;
    const initial = { [this.#d.names.linkto]: encodeLinkto(this.#d.childName(from)) };
    const mode = (FileType.regular << 12) | linktoMode;
    return compoundStep('mknod', { loc: locAt(parent, name), mode, rdevMajor: 0, rdevMinor: 0, gfid, initial });
  }

  #isNew(answers: Answers, index: number): boolean {
    const made = answers.at('mknod', index);
    return made?.ok === true && looksLikeLinkto(made.iatt) && made.iatt.nlink === 1;
  }

  /** Whoever looked the name up since the layout changed has made one. */
  async #adopt(errno: number | undefined): Promise<boolean> {
    if (errno !== Errno.EEXIST) return false;
    const { parent, name, gfid, to } = this.#file;
    const { movingMode, moving } = this.#d.names;
    const look = compoundStep('lookup', askArgs(this.#d, { loc: locAt(parent, name), want: [moving] }));
    const there = await this.#ask(to, [look, this.#lock(to, 'file')]);
    const found = there.at('lookup', 0);
    if (!found?.ok || !isLinkto(this.#d, found) || found.iatt.gfid !== gfid || found.iatt.nlink !== 1) return false;
    // With what a move away from there has left the general way is taken.
    return !found.xattrs[movingMode] && !found.xattrs[moving];
  }

  /** The file as it is now that nobody else gets at it, if it is as simple as it seemed. */
  async #holdAndRead(): Promise<Source | undefined> {
    const { parent, name, gfid, from } = this.#file;
    const d = this.#d;
    const { moving } = d.names;
    const found = await this.#ask(from, [
      this.#lock(from, 'file'),
      compoundStep('lookup', askArgs(d, { loc: locAt(parent, name), want: [moving] })),
      compoundStep('readv', { fd: new Fd(gfid), size: smallBytes, offset: 0 }),
      compoundStep('getxattr', { loc: locOf(gfid) }),
    ]);
    const file = found.at('lookup', 1);
    const page = found.at('readv', 2);
    const shared = sharedOf(found.at('getxattr', 3));
    if (!file?.ok || !isData(d, file) || file.iatt.gfid !== gfid || !isSmall(d, file)) return undefined;
    if (!page?.ok || page.data.length !== file.iatt.size || !shared) return undefined;
    return { ...file, data: page.data, shared };
  }

  /** The linkto gets all that the file has, and nothing else. */
  async #fill({ iatt, data, shared }: Source): Promise<boolean> {
    const { gfid, to } = this.#file;
    const loc = locOf(gfid);
    const fd = new Fd(gfid, readWrite);
    const size = data.length;
    const steps = [
      size > 0 ? compoundStep('writev', { fd, offset: 0, data }) : compoundStep('truncate', { loc, size: 0 }),
      // A new owner would take capabilities off.
      compoundStep('setattr', { loc, attr: { uid: iatt.uid, gid: iatt.gid } }),
      ...(Object.keys(shared).length > 0
        ? [compoundStep('setxattr', { loc, xattrs: asOnLinkto(shared), flags: 0 })]
        : []),
      ...(this.#d.options['ensure-durability'] ? [compoundStep('fsync', { fd, dataOnly: false })] : []),
      compoundStep('getxattr', { loc }),
    ];
    const done = await this.#ask(to, steps);
    if (!steps.slice(0, -1).every((_, i) => done.isOk(i))) return false;
    // Who believed the file there has written to the linkto; an earlier attempt has left something.
    const filled = size > 0 ? done.at('writev', 0) : done.at('truncate', 0);
    const there = sharedOf(done.at('getxattr', steps.length - 1));
    if (!filled?.ok || filled.post.size !== size || !there) return false;
    return Object.keys(there).every((name) => shared[name] !== undefined);
  }

  /** Only by who holds the file: who lost it does not know what it is now. Undefined: it is marked. */
  async #mark(source: Source): Promise<Moved | undefined> {
    const { gfid, from, to } = this.#file;
    const { linkto, movingMode } = this.#d.names;
    const { mode, ctime: sec, ctimeNsec: nsec } = source.iatt;
    const loc = locOf(gfid);
    const xattrs = { [linkto]: encodeLinkto(this.#d.childName(to)), [movingMode]: Buffer.from(mode.toString(8)) };
    const xdata = { whileHeld: true };
    const attr = { mode: mode | migratingBits, ctime: { sec, nsec } };
    const steps = [
      compoundStep('setxattr', { loc, xattrs, flags: 0, xdata }),
      compoundStep('setattr', { loc, attr, xdata }),
    ];
    const marked = await this.#ask(from, steps, asOf(this.#own, source.iatt));
    if (marked.isOk(1)) return undefined;
    // Not held any more: nothing was done, and what it is now is somebody else's.
    if (marked.errno(0) === Errno.ESTALE) return skipped('it took too long');
    const isTakenBack = await unmark(this.#d, this.#own, this.#file, source);
    return isTakenBack ? failed('it cannot be marked') : leftUnsettled('it cannot be marked');
  }

  /** The old place becomes a linkto, the new one loses its xattr, the name at the old one goes. */
  async #leave({ iatt }: Source): Promise<Moved> {
    const d = this.#d;
    const { parent, name, gfid, from, to } = this.#file;
    const loc = locOf(gfid);
    const left = await this.#ask(from, [
      compoundStep('setattr', { loc, attr: { mode: linktoMode }, xdata: { whileHeld: true } }),
      compoundStep('truncate', { loc, size: 0 }),
      compoundStep('removexattr', { loc, name: d.names.movingMode }),
    ]);
    if (!left.isOk(0)) return leftUnsettled('its old place cannot be made a linkto');
    d.remember(gfid, { kind: 'file', child: to });
    const settling = compoundStep('removexattr', { loc, name: d.names.linkto });
    const isSettled = await this.#last(to, settling, asOf(this.#own, iatt));
    const unlink = compoundStep('unlink', { loc: locAt(parent, name, gfid), xdata: { movedAway: true } });
    if (!(await this.#last(from, unlink))) d.warn(`${parent}/${name}: a linkto stays at its old place`);
    return { outcome: 'moved', bytes: iatt.size, ...(!isSettled && { isUnsettled: true }) };
  }
}

function sharedOf(reply: Reply<'getxattr'> | undefined): Xattrs | undefined {
  if (!reply) return undefined;
  if (!reply.ok) return reply.errno === Errno.ENODATA ? {} : undefined;
  return Object.fromEntries(Object.entries(reply.xattrs).filter(([name]) => isSharedXattr(name)));
}
