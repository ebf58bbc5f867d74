/** The names under which users find attached volumes: `DIRECTORY/NAME` and `DIRECTORY/rNAME`, links to the device itself. */
import { lstatSync, mkdirSync, readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { AttachError } from './attach-error.ts';

export interface Links {
  readonly block: string;
  /** Of programs that ask for the raw device: the same one, which they open with O_DIRECT. */
  readonly raw: string;
}

export function linksOf(directory: string, name: string): Links {
  return { block: join(directory, name), raw: join(directory, `r${name}`) };
}

/** Where a link leads; null: it is none. */
export function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** Throws if one of the names is something else's. `isOld`: what is there leads nowhere any more, and is ours. */
export function checkLinks(links: Links, isOld: (target: string) => boolean): void {
  for (const path of [links.block, links.raw]) {
    if (!lstatSync(path, { throwIfNoEntry: false })) continue;
    const target = linkTarget(path);
    if (target !== null && isOld(target)) continue;
    throw new AttachError(`${path} is there already${target === null ? '' : `, for ${target}`}`);
  }
}

export function makeLinks(directory: string, links: Links, target: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  for (const path of [links.block, links.raw]) {
    const before = linkTarget(path);
    if (before === target) continue;
    if (before !== null) unlinkSync(path);
    symlinkSync(target, path);
  }
}

/** Only those that lead to `target`. */
export function removeLinks(links: Links, target: string): void {
  for (const path of [links.block, links.raw]) if (linkTarget(path) === target) unlinkSync(path);
}
