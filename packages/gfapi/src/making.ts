/** Names that are made and moved. */
import { type ByteString, Errno, FileType, locAt, locOf, type Reply } from '@mortar/core';
import type { CallOptions } from './client.ts';
import { pathBytes, pathText, type VolumePath } from './paths.ts';
import { byName, fails, type Outcome, type Places } from './places.ts';
import type { How, Place } from './walk.ts';

const suffixLetters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

export async function makeDirectory(
  places: Places,
  path: VolumePath,
  mode: number,
  options: CallOptions | undefined,
): Promise<void> {
  await places.at(path, byName, 'mkdir', options, async ({ parent, name }) => {
    if (parent === null) return fails(Errno.EEXIST);
    const gfid = places.newGfid();
    places.client.forgetName(parent, name);
    const args = { loc: locAt(parent, name, gfid), mode, gfid };
    const reply = await places.run<Reply<'mkdir'>>(options, (top, call) => top.mkdir(call, args));
    if (reply.ok) places.cache.remember(parent, name, { gfid: reply.iatt.gfid, type: FileType.directory });
    return reply;
  });
}

/** From the end of the path: what is there already is the rule. */
export function makeDirectories(
  places: Places,
  path: VolumePath,
  mode: number,
  options: CallOptions,
): Promise<string | undefined> {
  return makeAbove(places, pathBytes(path).replace(/(?<=.)\/+$/, ''), mode, options);
}

/** Bytes all the way: not every name is text. */
async function makeAbove(
  places: Places,
  bytes: ByteString,
  mode: number,
  options: CallOptions,
): Promise<string | undefined> {
  const path = Buffer.from(bytes, 'latin1');
  try {
    await makeDirectory(places, path, mode, options);
    return pathText(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      const parent = bytes.slice(0, Math.max(0, bytes.lastIndexOf('/')));
      if (parent === '' || parent === bytes) throw error;
      const first = await makeAbove(places, parent, mode, options);
      const last = await makeAbove(places, bytes, mode, options);
      return last === undefined ? first : (first ?? last);
    }
    const isThere = code === 'EEXIST' && (await places.stat(path, true, 'mkdir', options)).isDirectory();
    if (isThere) return undefined;
    throw error;
  }
}

export async function linkPlaces(
  places: Places,
  { file }: Place,
  { parent, name, directory }: Place,
  options?: CallOptions,
): Promise<Outcome> {
  if (parent === null) return fails(Errno.EEXIST);
  if (directory) return fails(Errno.ENOENT);
  if (file!.type === FileType.directory) return fails(Errno.EPERM);
  places.client.forgetName(parent, name);
  const { gfid } = file!;
  return places.run(options, (top, call) => top.link(call, { from: locOf(gfid), to: locAt(parent, name, gfid) }));
}

async function isDirectory(
  places: Places,
  { parent, name }: Place,
  options: CallOptions | undefined,
): Promise<boolean> {
  if (parent === null) return true;
  const reply = await places.run(options, (top, call) => top.lookup(call, { loc: locAt(parent, name) }));
  return !reply.ok || reply.iatt.type === FileType.directory;
}

/** Six letters, as of mkdtemp(3). */
export function suffix(places: Places): string {
  const { random } = places.client.services;
  return Array.from({ length: 6 }, () => suffixLetters[random.integer(suffixLetters.length)]).join('');
}

/** `flags`: RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
export async function renamePath(
  places: Places,
  from: VolumePath,
  to: VolumePath,
  options: CallOptions & { flags?: number },
): Promise<void> {
  const [source, target] = [pathBytes(from), pathBytes(to, 'dest')];
  // Only a directory may be called by a name with a slash behind it.
  const how: How = source.endsWith('/') ? { follow: false, last: 'ask' } : byName;
  await places.retried({ path: pathText(from), dest: pathText(to) }, 'rename', async (trust) => {
    const b = await places.walker.walk(target, byName, trust, options);
    if (!b.ok) return { reply: b, believed: b.believed };
    const a = await places.walker.walk(source, how, trust, options);
    const believed = a.believed || b.believed;
    if (!a.ok) return { reply: a, believed };
    const isWrong = b.directory && !(await isDirectory(places, a, options));
    return { reply: isWrong ? fails(Errno.ENOTDIR) : await renamePlaces(places, a, b, options), believed };
  });
}

async function renamePlaces(
  places: Places,
  a: Place,
  b: Place,
  options: CallOptions & { flags?: number },
): Promise<Outcome> {
  if (a.parent === null || b.parent === null) return fails(Errno.EBUSY);
  const { client } = places;
  const { flags = 0 } = options;
  const args = { from: locAt(a.parent, a.name), to: locAt(b.parent, b.name), flags };
  const names = [
    { parent: a.parent, name: a.name },
    { parent: b.parent, name: b.name },
  ];
  const reply = await client.takingNames(names, () =>
    places.run<Reply<'rename'>>(options, (top, call) => top.rename(call, args)),
  );
  const moved = reply.ok ? client.services.inodes.find(reply.iatt.gfid) : undefined;
  if (moved) client.services.inodes.link(b.parent, b.name, moved);
  return reply;
}
