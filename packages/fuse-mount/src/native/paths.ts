/** fuse-native names everything by path, in text: here it becomes gfids and bytes. */
import {
  type ByteString,
  byteString,
  type Call,
  Errno,
  type Fops,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  rootGfid,
} from '@mortar/core';

/** "Invalid or incomplete multibyte character": the package has destroyed a name that is no UTF-8. */
export const EILSEQ = 84;

/** A failed operation, on the way to the callback. */
export class Refused extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

/** A reply that must be a success. */
export function must<R extends { ok: boolean; errno?: number }>(reply: R): Extract<R, { ok: true }> {
  if (!reply.ok) throw new Refused(reply.errno ?? Errno.EIO);
  return reply as Extract<R, { ok: true }>;
}

/** The names of a path. What is not UTF-8 arrives with replacement characters: to go on would be another file. */
function namesOf(path: string): ByteString[] {
  if (path.includes('\ufffd')) throw new Refused(EILSEQ);
  return path
    .split('/')
    .filter((name) => name !== '')
    .map(byteString);
}

/** Looks a path up from the root, name by name. */
export async function find(ops: Fops, call: Call, path: string): Promise<Iatt> {
  let { iatt } = must(await ops.stat(call, { loc: locOf(rootGfid) }));
  for (const name of namesOf(path)) ({ iatt } = must(await ops.lookup(call, { loc: locAt(iatt.gfid, name) })));
  return iatt;
}

/** The directory and the last name of a path. */
export async function place(ops: Fops, call: Call, path: string): Promise<{ parent: Gfid; name: ByteString }> {
  const names = namesOf(path);
  const name = names.pop();
  if (name === undefined) throw new Refused(Errno.EBUSY);
  let parent = rootGfid;
  for (const above of names) parent = must(await ops.lookup(call, { loc: locAt(parent, above) })).iatt.gfid;
  return { parent, name };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A name as text; undefined if it has none. */
export function textOf(name: ByteString): string | undefined {
  try {
    return utf8.decode(Buffer.from(name, 'latin1'));
  } catch {
    return undefined;
  }
}
