/** What a running brick or heal daemon tells of itself over its socket (docs/management.md: methods of bricks). */
import { z } from 'zod';
import type { Context } from '../context.ts';
import type { ProcessData } from '../protocol/replies.ts';
import type { StatusSection } from '../protocol/requests.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName } from './volumes.ts';

const daemonMs = 10_000;
const count = z.number().min(0);

const client = z.object({
  hostname: z.string(),
  bytesRead: count,
  bytesWritten: count,
  opVersion: count,
  name: z.string(),
});
const inodeTable = z.object({ lruLimit: count, active: count, lru: count, purge: count });
const fdTable = z.object({
  refcount: count,
  maxFds: count,
  firstFree: count,
  entries: z.array(z.object({ fd: count, pid: z.number(), refcount: count, flags: z.number() })),
});
const call = z.object({
  uid: z.number(),
  gid: z.number(),
  pid: z.number(),
  unique: z.number(),
  frames: z.array(z.string()),
});

const sections = {
  clients: { method: 'brick.clients', field: 'clients', schema: z.array(client) },
  'client-list': { method: 'brick.clients', field: 'clients', schema: z.array(client) },
  mem: { method: 'brick.memory', field: 'memory', schema: z.record(z.string(), z.number()) },
  inode: { method: 'brick.inodes', field: 'inodes', schema: z.array(inodeTable) },
  fd: { method: 'brick.fds', field: 'fds', schema: z.array(fdTable) },
  callpool: { method: 'brick.calls', field: 'calls', schema: z.array(call) },
} as const;

/** What a heal daemon has; of `volume`, as far as it is not of the whole process. */
const daemonSections = {
  mem: { ...sections.mem, method: 'process.memory' },
  inode: { ...sections.inode, method: 'heal.inodes' },
} as const;

/** Shown without the section if it does not answer, as a brick is. */
export async function healDaemonFacts(
  context: Context,
  volume: VolumeInfo,
  section: StatusSection,
): Promise<Partial<ProcessData>> {
  if (section !== 'mem' && section !== 'inode') return {};
  const { method, field, schema } = daemonSections[section];
  try {
    return { [field]: schema.parse(await context.healDaemon.ask(method, { volume: volume.name }, daemonMs)) };
  } catch (error) {
    context.log.write('WARNING', 'management', `${method} of the heal daemon: ${(error as Error).message}`);
    return {};
  }
}

/** A brick that does not answer, or answers nonsense, is shown without the section; the log says why. */
export async function brickFacts(
  context: Context,
  volume: VolumeInfo,
  brick: BrickInfo,
  section: StatusSection,
): Promise<Partial<ProcessData>> {
  if (section === 'detail' || section === 'tasks') return {};
  const { method, field, schema } = sections[section];
  try {
    return { [field]: schema.parse(await context.supervisor.askBrick(volume, brick, method, {})) };
  } catch (error) {
    context.log.write('WARNING', 'management', `${method} of ${brickName(brick)}: ${(error as Error).message}`);
    return {};
  }
}
