/** After all is healed: do the bricks hold the same, and are no marks left? Looks at the disks, past all translators. */
import { FileType } from '@mortar/core';
import type { MemoryFile } from '@mortar/xlators/storage/memory/file.ts';
import type { SimBrick } from './brick.ts';

const ownPrefix = 'trusted.afr.';

/** What replicas must have in common of a file. */
interface Version {
  readonly attributes: string;
  /** What it holds or leads to; undefined: an arbiter's, which has no contents. */
  readonly data: string | undefined;
}

/** By path. */
function listing(brick: SimBrick): Map<string, Version> {
  const found = new Map<string, Version>();
  const visit = (file: MemoryFile, path: string): void => {
    found.set(path, versionOf(file, brick.isArbiter));
    for (const name of [...file.entries.keys()].sort()) visit(file.entries.get(name)!.file, `${path}/${name}`);
  };
  visit(brick.disk.volume.root, '');
  return found;
}

function versionOf(file: MemoryFile, isArbiters: boolean): Version {
  const xattrs = [...file.xattrs]
    .filter(([name]) => !name.startsWith(ownPrefix))
    .map(([name, value]) => `${name}=${Buffer.from(value).toString('latin1')}`)
    .sort();
  const isRegular = file.type === FileType.regular;
  const data = isRegular ? file.content.read(0, file.size).toString('latin1') : file.target;
  const links = file.isDirectory ? '' : ` links ${file.nlink}`;
  const attributes = `${file.gfid.slice(-6)} type ${file.type} mode ${file.mode.toString(8)} ${file.uid}:${file.gid}${links} [${xattrs.join(' ')}]`;
  return { attributes, data: isRegular && isArbiters ? undefined : JSON.stringify(data) };
}

/** Whether anything on a brick's disk speaks against one of these, which are named as in the changelogs. */
export function accuses({ disk }: SimBrick, keys: readonly string[]): boolean {
  const visit = (file: MemoryFile): boolean =>
    keys.some((key) => file.xattrs.get(key)?.some((byte) => byte !== 0)) ||
    [...file.entries.values()].some((entry) => visit(entry.file));
  return visit(disk.volume.root);
}

/** What is wrong, in words; empty: nothing. */
export function differences(bricks: readonly SimBrick[]): string[] {
  const problems: string[] = [];
  const lists = bricks.map(listing);
  const paths = new Set(lists.flatMap((list) => [...list.keys()]));
  for (const path of [...paths].sort()) {
    const versions = lists.map((list) => list.get(path));
    if (areAlike(versions)) continue;
    const words = versions.map((one, i) => `${bricks[i]!.name}: ${one ? `${one.attributes} ${one.data}` : 'nothing'}`);
    problems.push(`${path || '/'} differs: ${words.join(' | ')}`);
  }
  for (const brick of bricks) problems.push(...marks(brick));
  return problems;
}

function areAlike(versions: readonly (Version | undefined)[]): boolean {
  const [first, ...others] = versions;
  const data = versions.flatMap((one) => one?.data ?? []);
  return others.every((one) => one?.attributes === first?.attributes) && new Set(data).size <= 1;
}

function marks(brick: SimBrick): string[] {
  const problems: string[] = [];
  const { index, volume } = brick.disk;
  const bytes = brick.isArbiter ? volume.used : 0;
  if (bytes > 0) problems.push(`${brick.name} is an arbiter and has ${bytes} bytes of files`);
  for (const kind of ['xattrop', 'dirty', 'entry-changes'] as const) {
    const names = index.names(kind, undefined, '', 10);
    if (names.length > 0)
      problems.push(`${brick.name}: the ${kind} index still has ${names.map((n) => n.slice(-6)).join(', ')}`);
  }
  const seen = new Set<MemoryFile>();
  const visit = (file: MemoryFile, path: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [name, value] of file.xattrs)
      if (name.startsWith(ownPrefix) && value.some((byte) => byte !== 0))
        problems.push(`${brick.name}: ${path || '/'} still has ${name} ${Buffer.from(value).toString('hex')}`);
    for (const [name, entry] of file.entries) visit(entry.file, `${path}/${name}`);
  };
  visit(volume.root, '');
  if (volume.count !== seen.size) problems.push(`${brick.name}: ${volume.count - seen.size} objects have no name`);
  return problems;
}
