/** For tests: what a client does by path, and what of a path is then on the bricks. */
import { Fd, FileType, type Gfid, locAt, locOf, rootGfid } from '@mortar/core';
import { expect } from 'vitest';
import type { DistributeRig } from './rig.ts';

export const layoutName = 'trusted.glusterfs.dht';
export const directory = FileType.directory << 12;
export const regular = FileType.regular << 12;

export async function mkdir(rig: DistributeRig, path: string, mode = 0o755) {
  const { parent, name } = await split(rig, path);
  return rig.ops.mkdir(rig.call, { loc: locAt(parent, name), mode: directory | mode, gfid: rig.gfid() });
}

export async function create(rig: DistributeRig, path: string, data = 'x') {
  const { parent, name } = await split(rig, path);
  const gfid = rig.gfid();
  const fd = new Fd(gfid, 2);
  const reply = await rig.ops.create(rig.call, {
    loc: locAt(parent, name),
    flags: 0o302,
    mode: regular | 0o644,
    gfid,
    fd,
  });
  if (reply.ok) await rig.ops.writev(rig.call, { fd, offset: 0, data: Buffer.from(data) });
  return { reply, fd, gfid };
}

export async function split(rig: DistributeRig, path: string): Promise<{ parent: Gfid; name: string }> {
  const at = path.lastIndexOf('/');
  return { parent: at <= 0 ? rootGfid : await rig.at(path.slice(0, at)), name: path.slice(at + 1) };
}

export async function rename(rig: DistributeRig, from: string, to: string, flags = 0) {
  const a = await split(rig, from);
  const b = await split(rig, to);
  return rig.ops.rename(rig.call, { from: locAt(a.parent, a.name), to: locAt(b.parent, b.name), flags });
}

export async function unlink(rig: DistributeRig, path: string) {
  const { parent, name } = await split(rig, path);
  return rig.ops.unlink(rig.call, { loc: locAt(parent, name) });
}

export async function rmdir(rig: DistributeRig, path: string) {
  const { parent, name } = await split(rig, path);
  return rig.ops.rmdir(rig.call, { loc: locAt(parent, name), recursive: false });
}

export async function link(rig: DistributeRig, from: string, to: string) {
  const { parent, name } = await split(rig, to);
  return rig.ops.link(rig.call, { from: locOf(await rig.at(from)), to: locAt(parent, name) });
}

export async function read(rig: DistributeRig, path: string): Promise<string> {
  const gfid = await rig.at(path);
  const fd = new Fd(gfid, 0);
  const opened = await rig.ops.open(rig.call, { loc: locOf(gfid), flags: 0, fd });
  if (!opened.ok) throw new Error(`open: ${opened.errno}`);
  const reply = await rig.ops.readv(rig.call, { fd, size: 4096, offset: 0 });
  fd.release();
  if (!reply.ok) throw new Error(`readv: ${reply.errno}`);
  return Buffer.from(reply.data).toString();
}

/** What of a path is on the bricks: `data`, `linkto:NAME`, `dir` or `-`, brick by brick. */
export async function spread(rig: DistributeRig, path: string): Promise<string[]> {
  return Promise.all(
    rig.bricks.map(async (_, i) => {
      const found = await rig.onBrick(i, path);
      if (!found) return '-';
      if (found.iatt.type === FileType.directory) return 'dir';
      const linkto = found.xattrs[`${layoutName}.linkto`];
      return linkto ? `linkto:${Buffer.from(linkto).toString('latin1').replace('\0', '')}` : 'data';
    }),
  );
}

export async function list(rig: DistributeRig, path: string, size = 65536): Promise<string[]> {
  const gfid = await rig.at(path);
  const fd = new Fd(gfid, 0);
  const opened = await rig.ops.opendir(rig.call, { loc: locOf(gfid), fd });
  if (!opened.ok) throw new Error(`opendir: ${opened.errno}`);
  const names: string[] = [];
  for (let offset = 0, end = false; !end; ) {
    const reply = await rig.ops.readdirp(rig.call, { fd, size, offset });
    if (!reply.ok) throw new Error(`readdirp: ${reply.errno}`);
    names.push(...reply.entries.map((entry) => entry.name).filter((name) => name !== '.' && name !== '..'));
    offset = reply.entries.at(-1)?.offset ?? offset;
    end = reply.end;
  }
  return names.sort();
}

/** Makes a file whose name does not hash to where its data is; its names before and after. */
export async function misplaced(rig: DistributeRig): Promise<[string, string]> {
  for (let i = 0; ; i++) {
    const from = `/from${i}`;
    await create(rig, from, `data ${i}`);
    const to = `/to${i}`;
    expect((await rename(rig, from, to)).ok).toBe(true);
    if ((await spread(rig, to)).some((one) => one.startsWith('linkto'))) return [from, to];
  }
}
