/**
 * Clients of a volume that take its files to be elsewhere than a rebalance puts them, and for whom it waits
 * (docs/distribute.md, Waiting for clients).
 */
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { gatherFromAll } from '../pool/sites.ts';
import type { AwaitedData } from '../protocol/replies.ts';
import type { VolumeInfo } from '../volume.ts';
import { askBricks } from './ask-bricks.ts';
import { awaitedHere } from './awaited-here.ts';
import { brickName } from './volumes.ts';

const word = z.string().max(4096);

export const lateClientsParams = z.object({
  volumeId: word,
  /** Of the rebalance's own graph. */
  placement: z.string().min(1).max(64),
  /** The version of the volume that its graph was made of. */
  version: z.int().min(0),
  /** If nobody is late, bricks let nobody in any more who is. */
  fence: z.boolean(),
});

/** Bricks of an older build do not tell the placement of their clients. */
const client = z.object({
  name: word,
  host: word.default(''),
  processId: z.number().default(0),
  placement: word.default(''),
});
const clients = z.array(client);
const fenced = z.object({ fenced: z.boolean() });

interface LateClient {
  program: string;
  host: string;
  processId: number;
}

export interface Census {
  late: LateClient[];
  isClear: boolean;
  /** Bricks that could not be asked. */
  unasked: string[];
}

/** So many are named. */
const lateMax = 1000;

export async function lateClients(context: Context, params: z.infer<typeof lateClientsParams>): Promise<Census> {
  const { volumeId, placement, version, fence } = params;
  const volume = [...context.store.state.volumes.values()].find(({ id }) => id === volumeId);
  if (!volume) throw new OperationError(`there is no volume ${volumeId} on this node`);
  const answers = await askBricks(context, volume, 'brick.clients', {}, clients);
  const asked = new Set(answers.map(({ name }) => name));
  const unasked = volume.bricks.map(brickName).filter((name) => !asked.has(name));
  const late = new Map<string, LateClient>();
  for (const { name: program, host, processId, ...told } of answers.flatMap(({ answer }) => answer))
    if (told.placement !== '' && told.placement !== placement)
      late.set(`${program} ${host} ${processId}`, { program, host, processId });
  if (late.size > 0 || !fence) return { late: [...late.values()].slice(0, lateMax), isClear: late.size === 0, unasked };
  const answered = await askBricks(context, volume, 'brick.fencePlacement', { placement, version }, fenced);
  return { late: [], isClear: answered.every(({ answer }) => answer.fenced), unasked };
}

/** Whom the task of a volume waits for, on whatever node it runs; nothing if for nobody. */
export async function awaitedOf(context: Context, volume: VolumeInfo): Promise<{ awaited?: AwaitedData[] }> {
  if (volume.task?.state !== 'running') return {};
  const elsewhere = await gatherFromAll(context, 'awaited', { volume: volume.name });
  const all = [...(await awaitedHere(context, volume)), ...elsewhere.flatMap(({ awaited }) => awaited)];
  const longest = new Map<string, AwaitedData>();
  for (const one of all) {
    const key = `${one.program} ${one.host} ${one.processId}`;
    if ((longest.get(key)?.seconds ?? -1) < one.seconds) longest.set(key, one);
  }
  return longest.size === 0 ? {} : { awaited: [...longest.values()] };
}
