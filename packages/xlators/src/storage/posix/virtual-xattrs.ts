/** Extended attributes that are answered, not stored (ondisk format, section 2). */
import { type ByteString, type Gfid, rootGfid } from '@mortar/core';
import { directoryAskedFor, encodePlace, type Place } from '../../lib/lies-below.ts';
import type { Brick } from './brick.ts';
import { gfid2pathPrefix, parsePathRecord } from './gfid2path.ts';
import { handlePath, hiddenName, parseTarget } from './handle.ts';
import { entryOf, isDirectory, type Node } from './node.ts';

const ENOENT = -2;
const ENODATA = -61;
const EOPNOTSUPP = -95;
const depthMax = 4096;
const realFilename = 'glusterfs.get_real_filename:';

/** The value, the negative errno of a virtual attribute that has none here, or undefined: it is not a virtual one. */
export function virtualXattr(brick: Brick, node: Node, name: ByteString): Uint8Array | number | undefined {
  if (!name.includes('glusterfs.')) return undefined;
  if (name.startsWith(realFilename)) return realName(brick, node, name.slice(realFilename.length));
  const directory = directoryAskedFor(name);
  if (directory !== null) return brick.settings.gfid2path ? encodePlace(placeOf(brick, node, directory)) : EOPNOTSUPP;
  switch (name) {
    case 'glusterfs.gfid.string':
      return text(node.gfid);
    case 'glusterfs.gfidtopath':
    case 'trusted.glusterfs.gfidtopath':
      return paths(brick, node, brick.settings.gfid2pathSeparator);
    case 'glusterfs.ancestry.path':
      return firstPath(brick, node);
    case 'glusterfs.pathinfo':
    case 'trusted.glusterfs.pathinfo':
      return text(`${pathinfo(brick, node)}\0`);
    case 'trusted.glusterfs.node-uuid':
      return brick.settings.nodeUuid ? text(`${brick.settings.nodeUuid}\0`) : ENODATA;
    default:
      return undefined;
  }
}

function text(bytes: ByteString): Uint8Array {
  return Uint8Array.from(bytes, (c) => c.charCodeAt(0));
}

/** The path of a directory from the brick's root; `/` for the root; null if its handles lead nowhere. */
export function directoryPath(brick: Brick, gfid: Gfid): ByteString | null {
  const names: ByteString[] = [];
  for (let at = gfid, depth = 0; at !== rootGfid; depth++) {
    const target = brick.sys.readlinkat(brick.hiddenFd, handlePath(at));
    const parsed = typeof target === 'number' ? null : parseTarget(target);
    if (!parsed || depth > depthMax) return null;
    names.push(parsed.name);
    at = parsed.parent;
  }
  return `/${names.reverse().join('/')}`;
}

/** Whether a directory is another or lies below it. */
function isBelow(brick: Brick, gfid: Gfid, directory: Gfid): boolean {
  for (let at = gfid, depth = 0; depth <= depthMax; depth++) {
    if (at === directory) return true;
    if (at === rootGfid) return false;
    const target = brick.sys.readlinkat(brick.hiddenFd, handlePath(at));
    const parsed = typeof target === 'number' ? null : parseTarget(target);
    if (!parsed) return false;
    at = parsed.parent;
  }
  return false;
}

/** A file lies where any of its names is. */
function placeOf(brick: Brick, node: Node, directory: Gfid): Place {
  if (isDirectory(node)) return isBelow(brick, node.gfid, directory) ? 'below' : 'elsewhere';
  for (const { parent } of namesOf(brick, node)) if (isBelow(brick, parent, directory)) return 'below';
  return brick.open.of(node.gfid)?.unlinked === true ? 'nameless' : 'elsewhere';
}

/** The recorded names of a file that it has. Records of names that are gone (a crash within a rename left them) are skipped. */
function* namesOf(brick: Brick, node: Node): Generator<{ parent: Gfid; name: ByteString }> {
  const list = brick.sys.listxattr(node.target);
  for (const name of typeof list === 'number' ? [] : list.sort()) {
    if (!name.startsWith(gfid2pathPrefix)) continue;
    const value = brick.sys.getxattr(node.target, name);
    const record = typeof value === 'number' ? null : parsePathRecord(value);
    if (!record) continue;
    const parentFd = brick.directories.get(record.parent);
    const entry = parentFd < 0 ? parentFd : entryOf(brick, parentFd, record.name);
    if (typeof entry !== 'number' && entry.gfid === node.gfid) yield record;
  }
}

/** All paths of an object. */
export function pathsOf(brick: Brick, node: Node): ByteString[] {
  if (isDirectory(node)) {
    const path = directoryPath(brick, node.gfid);
    return path === null ? [] : [path];
  }
  const found: ByteString[] = [];
  for (const { parent, name } of namesOf(brick, node)) {
    const above = directoryPath(brick, parent);
    if (above !== null) found.push(above === '/' ? `/${name}` : `${above}/${name}`);
  }
  return found;
}

function paths(brick: Brick, node: Node, separator: string): Uint8Array | number {
  const all = pathsOf(brick, node);
  return all.length === 0 ? ENODATA : text(all.join(separator));
}

function firstPath(brick: Brick, node: Node): Uint8Array | number {
  const [path] = pathsOf(brick, node);
  return path === undefined ? ENODATA : text(path);
}

/** `<POSIX(/brick):HOST:/brick/path>`; the handle where the object has no known path. */
function pathinfo(brick: Brick, node: Node): ByteString {
  const { directory, hostname, nodeUuid, nodeUuidPathinfo } = brick.settings;
  const [path = `/${hiddenName}/${handlePath(node.gfid)}`] = pathsOf(brick, node);
  const root = Buffer.from(directory).toString('latin1');
  const host = nodeUuidPathinfo && nodeUuid ? nodeUuid : hostname;
  return `<POSIX(${root}):${host}:${root}${path}>`;
}

/** The name in a directory that equals `name` but for upper and lower case, for Samba. */
function realName(brick: Brick, node: Node, name: ByteString): Uint8Array | number {
  if (!isDirectory(node)) return -20;
  const folded = foldCase(name);
  let found: ByteString | null = null;
  const result = brick.sys.forEachDirent(brick.directories.get(node.gfid), (entry) => {
    if (foldCase(entry) === folded) found = entry;
    return found === null;
  });
  if (result < 0) return result;
  return found === null ? ENOENT : text(`${found}\0`);
}

function foldCase(name: ByteString): string {
  return Buffer.from(name, 'latin1').toString('utf8').toLowerCase();
}
