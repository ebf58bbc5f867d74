/** What is known of a file whose data is cached: the attributes under which its pages are valid. */
import { type Call, FileType, type Iatt } from '@mortar/core';
import { PagesOfFile } from './pages.ts';

/** Until when the bricks ask before anybody else changes the file (docs/delegations.md). */
export interface Delegation {
  readonly untilMs: number;
  /** When it was asked for, and the serial of the last change then. */
  readonly askedMs: number;
  readonly serial: number;
  /** For whom the bricks opened the file: others may not be allowed to. */
  readonly opener: Pick<Call, 'uid' | 'gid' | 'groups'>;
}

export class FileState {
  readonly pages: PagesOfFile;
  /** Attributes that all pages belong to; undefined: none yet. */
  iatt: Iatt | undefined;
  /** When these were last known to be the file's. */
  validAtMs = Number.NEGATIVE_INFINITY;
  /** Number of the latest question about it that was answered. */
  order = 0;
  /** Serial of the last change. */
  changed: number;
  /** Changes by this client on their way. */
  pending = 0;
  delegation: Delegation | undefined;

  constructor(weight: number, serial: number) {
    this.pages = new PagesOfFile(weight);
    this.changed = serial;
  }
}

/** Same data, as far as attributes can tell. */
export function sameData(a: Iatt, b: Iatt): boolean {
  return (
    a.size === b.size &&
    a.mtime === b.mtime &&
    a.mtimeNsec === b.mtimeNsec &&
    a.ctime === b.ctime &&
    a.ctimeNsec === b.ctimeNsec
  );
}

/** A translator that answers before the brick did may have no attributes to give. */
export function isUsable(iatt: Iatt): boolean {
  return iatt.type === FileType.regular;
}
