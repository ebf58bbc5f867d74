/** The devices of a volume by name: directories below `/.block`. */
import {
  type Attachment,
  byteString,
  Errno,
  type Failure,
  Fd,
  FileType,
  type Fops,
  fail,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  newGfid,
  rootGfid,
  type Xattrs,
} from '@mortar/core';
import { blockDirectory } from '@mortar/xlators/lib/block-device.ts';
import { allXattrs, type Description, decodeDescription, descriptionXattr, encodeDescription } from './description.ts';
import type { VolumeGraph } from './graph.ts';

const nameForm = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/;
const pageBytes = 64 * 1024;
const namesMax = 1_000_000;

export interface FoundDevice {
  readonly ok: true;
  readonly gfid: Gfid;
  readonly description: Description;
  readonly xattrs: Xattrs;
}

type Outcome = { ok: true } | Failure;

/** The directory of all devices; made if it is not there. */
async function home(graph: VolumeGraph, make: boolean): Promise<{ ok: true; gfid: Gfid } | Failure> {
  return graph.run(async (ops, call) => {
    const loc = locAt(rootGfid, blockDirectory);
    const found = await ops.lookup(call, { loc });
    if (found.ok && !isOnlyOurs(found.iatt)) {
      const { uid, mode } = found.iatt;
      const what = `/${blockDirectory} belongs to user ${uid} (mode ${(mode & 0o7777).toString(8)})`;
      graph.log.write('ERROR', 'block', `${what}: only root may be able to change it; what is there is not used`);
      return fail(Errno.EPERM);
    }
    if (found.ok)
      return found.iatt.type === FileType.directory ? { ok: true, gfid: found.iatt.gfid } : fail(Errno.ENOTDIR);
    if (found.errno !== Errno.ENOENT || !make) return found;
    const made = await ops.mkdir(call, { loc, mode: 0o700, gfid: newGfid(graph.random) });
    if (made.ok) return { ok: true, gfid: made.iatt.gfid };
    if (made.errno !== Errno.EEXIST) return made;
    const again = await ops.lookup(call, { loc });
    return again.ok ? { ok: true, gfid: again.iatt.gfid } : again;
  });
}

/** Whoever can change names in a directory can put another device in the place of one. */
function isOnlyOurs({ uid, mode }: Iatt): boolean {
  return uid === 0 && (mode & 0o022) === 0;
}

/** ENOENT: there is none; EINVAL: what is there is no device. */
export async function findDevice(graph: VolumeGraph, name: string): Promise<FoundDevice | Failure> {
  if (!nameForm.test(name)) return fail(Errno.EINVAL);
  const parent = await home(graph, false);
  if (!parent.ok) return parent;
  const found = await graph.run((ops, call) =>
    ops.lookup(call, { loc: locAt(parent.gfid, byteString(name)), want: [allXattrs] }),
  );
  if (!found.ok) return found;
  const description = decodeDescription(found.xattrs[descriptionXattr]);
  const isDevice = description !== null && isOnlyOurs(found.iatt);
  return isDevice ? { ok: true, gfid: found.iatt.gfid, description, xattrs: found.xattrs } : fail(Errno.EINVAL);
}

/** EEXIST: the name is taken. It can be seen only as a whole: its description comes with it. */
export async function createDevice(
  graph: VolumeGraph,
  name: string,
  description: Omit<Description, 'version'>,
): Promise<Outcome> {
  if (!nameForm.test(name)) return fail(Errno.EINVAL);
  const bytes = encodeDescription({ version: 1, ...description });
  if (!decodeDescription(bytes)) return fail(Errno.EINVAL);
  const parent = await home(graph, true);
  if (!parent.ok) return parent;
  return graph.run(async (ops, call) => {
    const loc = locAt(parent.gfid, byteString(name));
    const initial = { [descriptionXattr]: bytes };
    const made = await ops.mkdir(call, { loc, mode: 0o700, gfid: newGfid(graph.random), initial });
    if (!made.ok) return made;
    return durable(ops, call, parent.gfid);
  });
}

/** Goes on with whoever has it: he knows it by its gfid. */
export async function renameDevice(graph: VolumeGraph, from: string, to: string): Promise<Outcome> {
  if (!nameForm.test(to)) return fail(Errno.EINVAL);
  const found = await findDevice(graph, from);
  if (!found.ok) return found;
  const parent = await home(graph, false);
  if (!parent.ok) return parent;
  const taken = await findDevice(graph, to);
  if (taken.ok || taken.errno !== Errno.ENOENT) return taken.ok ? fail(Errno.EEXIST) : taken;
  return graph.run(async (ops, call) => {
    const reply = await ops.rename(call, {
      from: locAt(parent.gfid, byteString(from), found.gfid),
      to: locAt(parent.gfid, byteString(to)),
      flags: 0,
    });
    return reply.ok ? durable(ops, call, parent.gfid) : reply;
  });
}

/** With all its shards, in the name of an attachment that nobody has any more afterwards. */
export async function removeDevice(graph: VolumeGraph, name: string, attachment: Attachment): Promise<Outcome> {
  const parent = await home(graph, false);
  if (!parent.ok) return parent;
  const device = attachment.device;
  const names = await listNames(graph, device, attachment);
  if (!names.ok) return names;
  return graph.run(async (ops, plain) => {
    const call = { ...plain, attachment };
    for (const shard of names.names) {
      const reply = await ops.unlink(call, { loc: locAt(device, shard) });
      if (!reply.ok && reply.errno !== Errno.ENOENT) return reply;
    }
    const reply = await ops.rmdir(call, { loc: locAt(parent.gfid, byteString(name), device), recursive: false });
    return reply.ok ? durable(ops, plain, parent.gfid) : reply;
  });
}

/** Names in `/.block` that are devices. */
export async function listDevices(
  graph: VolumeGraph,
): Promise<{ ok: true; devices: { name: string; device: FoundDevice }[] } | Failure> {
  const parent = await home(graph, false);
  if (!parent.ok) return parent.errno === Errno.ENOENT ? { ok: true, devices: [] } : parent;
  const names = await listNames(graph, parent.gfid);
  if (!names.ok) return names;
  const devices: { name: string; device: FoundDevice }[] = [];
  for (const name of names.names.sort()) {
    const device = await findDevice(graph, name);
    if (device.ok) devices.push({ name, device });
    else if (device.errno !== Errno.ENOENT && device.errno !== Errno.EINVAL) return device;
  }
  return { ok: true, devices };
}

/** The names in a directory. */
export function listNames(
  graph: VolumeGraph,
  directory: Gfid,
  attachment?: Attachment,
): Promise<{ ok: true; names: string[] } | Failure> {
  return graph.run(async (ops, plain) => {
    const call = attachment ? { ...plain, attachment } : plain;
    const fd = new Fd(directory);
    try {
      const opened = await ops.opendir(call, { loc: locOf(directory), fd });
      if (!opened.ok) return opened;
      const names: string[] = [];
      for (let offset = 0; ; ) {
        const page = await ops.readdir(call, { fd, size: pageBytes, offset });
        if (!page.ok) return page;
        for (const { name } of page.entries) if (name !== '.' && name !== '..') names.push(name);
        if (names.length > namesMax) return fail(Errno.EOVERFLOW);
        if (page.end || page.entries.length === 0) return { ok: true, names };
        offset = page.entries.at(-1)!.offset;
      }
    } finally {
      fd.release();
    }
  });
}

/** What was changed in a directory is on stable storage. */
export async function durable(ops: Fops, call: Parameters<Fops['fsyncdir']>[0], directory: Gfid): Promise<Outcome> {
  const fd = new Fd(directory);
  try {
    const opened = await ops.opendir(call, { loc: locOf(directory), fd });
    return opened.ok ? await ops.fsyncdir(call, { fd, dataOnly: false }) : opened;
  } finally {
    fd.release();
  }
}
