/** For tests: a volume that grew, clients of it, and what they see. */
import { createHash } from 'node:crypto';
import { Fd, FileType, type Gfid, type Iatt, locAt, locOf, rootGfid } from '@mortar/core';
import { type DistributeRig, distributeRig, joined } from './rig.ts';

const regular = FileType.regular << 12;

export function randomOf(seed: number): (below: number) => number {
  let state = (seed * 2_654_435 + 12_345) % 2_147_483_647;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

export const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Two bricks with files, a third one, and clients of all three. */
export async function volume() {
  const small = await distributeRig({ children: 2, storage: 'posix' });
  await small.walk('/');
  const more = await distributeRig({ children: 1, name: 'new', storage: 'posix' });
  const all = joined(small, more);
  const rigs = [small, more];
  const client = async (session: string, options: Record<string, string> = {}): Promise<DistributeRig> => {
    const rig = await distributeRig({ children: 3, over: all, options });
    for (const door of rig.doors) door.session = session;
    rigs.push(rig);
    await rig.walk('/');
    return rig;
  };
  // Pauses are as short as the machine makes them.
  const ticking = setInterval(() => {
    for (const rig of rigs) void rig.services.clock.advance(100);
  }, 5);
  const leave = async (rig: DistributeRig) => {
    rigs.splice(rigs.indexOf(rig), 1);
    await rig.close();
  };
  const close = async () => {
    clearInterval(ticking);
    for (const rig of rigs.reverse()) await rig.close();
  };
  return { small, all, client, leave, close };
}

export async function create(rig: DistributeRig, name: string, data: Buffer): Promise<{ gfid: Gfid; fd: Fd }> {
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  const loc = locAt(rootGfid, name);
  const made = await rig.ops.create(rig.call, { loc, flags: 0o302, mode: regular | 0o640, gfid, fd });
  if (!made.ok) throw new Error(`create ${name}: errno ${made.errno}`);
  const wrote = await rig.ops.writev(rig.call, { fd, offset: 0, data });
  if (!wrote.ok) throw new Error(`write ${name}: errno ${wrote.errno}`);
  return { gfid, fd };
}

export async function content(rig: DistributeRig, name: string): Promise<Buffer> {
  const found = await rig.ops.lookup(rig.call, { loc: locAt(rootGfid, name) });
  if (!found.ok) throw new Error(`lookup ${name}: errno ${found.errno}`);
  const fd = new Fd(found.iatt.gfid);
  const opened = await rig.ops.open(rig.call, { loc: locAt(rootGfid, name, found.iatt.gfid), flags: 0, fd });
  if (!opened.ok) throw new Error(`open ${name}: errno ${opened.errno}`);
  const page = await rig.ops.readv(rig.call, { fd, size: 1 << 20, offset: 0 });
  fd.release();
  if (!page.ok) throw new Error(`read ${name}: errno ${page.errno}`);
  return Buffer.from(page.data);
}

export async function list(rig: DistributeRig, size = 2048): Promise<string[]> {
  const fd = new Fd(rootGfid);
  const names: string[] = [];
  try {
    for (let offset = 0; ; ) {
      const page = await rig.ops.readdirp(rig.call, { fd, size, offset });
      if (!page.ok) throw new Error(`listing: errno ${page.errno}`);
      names.push(...page.entries.map((entry) => entry.name).filter((name) => name !== '.' && name !== '..'));
      if (page.end) return names;
      offset = page.entries.at(-1)!.offset;
      await nextTurn();
    }
  } finally {
    fd.release();
  }
}

export const digest = (data: Buffer) => `${data.length}:${createHash('sha1').update(data).digest('hex')}`;

/** All that an application sees of a file. */
export async function looks(rig: DistributeRig, name: string, hiddenBits = 0): Promise<unknown> {
  const found = await rig.ops.lookup(rig.call, { loc: locAt(rootGfid, name) });
  if (!found.ok) return found;
  const fields: (keyof Iatt)[] = [
    'gfid',
    'mode',
    'nlink',
    'uid',
    'gid',
    'size',
    'mtime',
    'mtimeNsec',
    'ctime',
    'ctimeNsec',
  ];
  const xattrs = await rig.ops.getxattr(rig.call, { loc: locOf(found.iatt.gfid) });
  return {
    ...Object.fromEntries(fields.map((field) => [field, found.iatt[field]])),
    mode: found.iatt.mode & ~hiddenBits,
    xattrs: xattrs.ok
      ? Object.entries(xattrs.xattrs)
          .map(([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`)
          .sort()
      : xattrs,
    data: digest(await content(rig, name)),
  };
}
