/**
 * The files of devices that somebody has: who comes without an attachment (a mount, as root) does not change them. Known to a brick from what
 * their holders ask; one that shows no life for a while, or gave its device up, keeps nobody away.
 */
import type { Args, Clock, FopName, Gfid, Loc } from '@mortar/core';
import { blockHolderXattr } from '../../lib/block-device.ts';

/** More than the longest time in which a holder says nothing at all (a third of its lease). */
const lifeMs = 60_000;

interface Device {
  readonly files: Set<Gfid>;
  seenMs: number;
}

const dataFops: ReadonlySet<FopName> = new Set([
  'writev',
  'truncate',
  'ftruncate',
  'fallocate',
  'discard',
  'zerofill',
  'copy_file_range',
]);
const entryFops: ReadonlySet<FopName> = new Set([
  'mknod',
  'mkdir',
  'create',
  'symlink',
  'link',
  'put',
  'namelink',
  'unlink',
  'rmdir',
  'rename',
]);

/** Whether a fop may change a file or a name. Marks and attributes are nobody's data. */
export function mayChangeFiles(name: FopName): boolean {
  return name === 'compound' || dataFops.has(name) || entryFops.has(name);
}

/** Whether a fop, by itself, may change a name. */
export function mayChangeNames(name: FopName): boolean {
  return entryFops.has(name);
}

export class AttachedFiles {
  readonly #clock: Clock;
  readonly #devices = new Map<Gfid, Device>();
  readonly #deviceOf = new Map<Gfid, Gfid>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isEmpty(): boolean {
    return this.#devices.size === 0;
  }

  /** False: the files of the device are not known yet. */
  see(device: Gfid): boolean {
    const known = this.#devices.get(device);
    if (known) known.seenMs = this.#clock.nowMs();
    return known !== undefined;
  }

  take(device: Gfid, files: readonly Gfid[]): void {
    this.leave(device);
    this.#devices.set(device, { files: new Set(files), seenMs: this.#clock.nowMs() });
    for (const file of files) this.#deviceOf.set(file, device);
  }

  leave(device: Gfid): void {
    for (const file of this.#devices.get(device)?.files ?? []) this.#deviceOf.delete(file);
    this.#devices.delete(device);
  }

  /** What a device's holder did: files that it made, or that it gave the device up. */
  done(device: Gfid, name: FopName, args: object): void {
    if (name === 'compound') {
      for (const step of (args as Args<'compound'>).steps) this.done(device, step.fop as FopName, step.args);
    } else if (name === 'mknod' || name === 'create') {
      const { loc, gfid } = args as Args<'mknod'>;
      const known = this.#devices.get(device);
      if (!known || loc.parent !== device || !gfid) return;
      known.files.add(gfid);
      this.#deviceOf.set(gfid, device);
    } else if (name === 'removexattr' && (args as Args<'removexattr'>).name === blockHolderXattr) this.leave(device);
  }

  /** Whether it would change what a device's holder has. */
  isHeld(name: FopName, args: object): boolean {
    if (name === 'compound')
      return (args as Args<'compound'>).steps.some((step) => this.isHeld(step.fop as FopName, step.args));
    if (dataFops.has(name)) return this.#isLive(this.#deviceOf.get(changedBy(args)!));
    return entryFops.has(name) && placesIn(args).some((parent) => this.#devices.has(parent) && this.#isLive(parent));
  }

  #isLive(device: Gfid | undefined): boolean {
    if (device === undefined) return false;
    if (this.#clock.nowMs() - this.#devices.get(device)!.seenMs <= lifeMs) return true;
    this.leave(device);
    return false;
  }
}

function changedBy(args: object): Gfid | null {
  const { fd, to, loc } = args as { fd?: { gfid: Gfid }; to?: { gfid: Gfid }; loc?: Loc };
  return (to ?? fd ?? loc)?.gfid ?? null;
}

/** Directories in which it changes a name. A name elsewhere that a file gets by `link` is nobody's. */
function placesIn(args: object): Gfid[] {
  const { loc, from, to } = args as { loc?: Loc; from?: Loc; to?: Loc };
  return [loc, from, to].flatMap((one) => (one?.parent ? [one.parent] : []));
}
