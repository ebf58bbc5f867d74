/** `volume heal`: options are set here, everything else is asked of the volume's heal daemon. */
import type { ManagementError } from '@mortar/rpc/management/protocol.ts';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { SiteParams } from '../pool/site-calls.ts';
import { bricksElsewhere, gather, onSite } from '../pool/sites.ts';
import type { HealBrickData, HealData } from '../protocol/replies.ts';
import type { HealOperation, RequestOf } from '../protocol/requests.ts';
import { needsHealDaemon } from '../supervision/heal-wants.ts';
import { execute } from '../transaction/operation.ts';
import { EffectiveOptions } from '../volgen/builder.ts';
import { isHealable } from '../volgen/index.ts';
import type { VolumeInfo } from '../volume.ts';
import { brickNamed } from './named-brick.ts';
import { setByCommand } from './options.ts';
import { brickName, localBricks, noSuchVolume, volumeNamed } from './volumes.ts';

type HealMethod = SiteParams<'askHealDaemon'>['method'];

const launchTimeoutMs = 30_000;
const infoTimeoutMs = 600_000;

/** What GlusterFS's helper fails with: the negative error number is its exit status. */
const noVolume = { errno: 2, exit: 254 };
const noVolfile = { errno: 5, exit: 251 };
const notHealable = { errno: 22, exit: 234 };

export async function healVolume(context: Context, request: RequestOf<'volume.heal'>): Promise<HealData> {
  const { volume: name, operation } = request;
  switch (operation.kind) {
    case 'enable':
    case 'disable':
    case 'granular':
      return switchHeal(context, name, operation);
    case 'info':
    case 'split-brain':
      return inquire(context, helperVolume(context, name), operation);
    default:
      return askDaemon(context, daemonVolume(context, name), operation);
  }
}

async function switchHeal(
  context: Context,
  name: string,
  operation: Extract<HealOperation, { kind: 'enable' | 'disable' | 'granular' }>,
): Promise<HealData> {
  const volume = volumeNamed(context, name);
  if (!isHealable(volume)) throw new OperationError(`Volume ${name} is not of type replicate or disperse`);
  const pair =
    operation.kind === 'granular'
      ? { key: 'cluster.granular-entry-heal', value: operation.enable ? 'enable' : 'disable' }
      : {
          key: volume.type === 'disperse' ? 'cluster.disperse-self-heal-daemon' : 'cluster.self-heal-daemon',
          value: operation.kind,
        };
  await execute(context, setByCommand('volume heal', name, [pair]));
  return { kind: 'done' };
}

/** A volume for the operations that GlusterFS leaves to a helper program. */
function helperVolume(context: Context, name: string): VolumeInfo {
  const volume = context.store.state.volumes.get(name);
  if (!volume) throw noSuchVolume(name, noVolume);
  if (volume.status !== 'started')
    throw new OperationError(`${name}: Not able to fetch volfile from glusterd`, noVolfile);
  if (!isHealable(volume))
    throw new OperationError(
      `This command is supported for only volumes of replicate/disperse type. Volume ${name} is not of type replicate/disperse`,
      notHealable,
    );
  return volume;
}

function daemonVolume(context: Context, name: string): VolumeInfo {
  const volume = volumeNamed(context, name);
  if (volume.status !== 'started') throw new OperationError(`Volume ${name} is not started.`);
  if (!needsHealDaemon(volume))
    throw new OperationError(`Self-heal-daemon is disabled. Heal will not be triggered on volume ${name}`);
  return volume;
}

const entry = z.object({
  path: z.string().nullable(),
  gfid: z.string(),
  splitBrain: z.boolean(),
  healing: z.boolean(),
});
const infoAnswer = z.array(z.object({ brick: z.string(), connected: z.boolean(), entries: z.array(entry) }));
const countAnswer = z.array(z.object({ brick: z.string(), count: z.number().nullable() }));
const crawl = z.object({
  startSeconds: z.number(),
  endSeconds: z.number().nullable(),
  type: z.enum(['INDEX', 'FULL']),
  healed: z.number(),
  splitBrain: z.number(),
  failed: z.number(),
});
const statisticsAnswer = z.array(z.object({ brick: z.string(), connected: z.boolean(), crawls: z.array(crawl) }));
const launchAnswer = z.object({ started: z.boolean() });
const splitBrainAnswer = z.object({ lines: z.array(z.string()), failed: z.boolean(), exit: z.number() });

async function ask<S extends z.ZodType>(
  context: Context,
  volume: VolumeInfo,
  method: HealMethod,
  params: Record<string, unknown>,
  schema: S,
): Promise<z.infer<S>> {
  const timeoutMs = method === 'heal.launch' ? launchTimeoutMs : infoTimeoutMs;
  // A node without a brick of the volume has no daemon for it: any other's sees the whole volume, too.
  if (localBricks(context, volume).length === 0 && bricksElsewhere(context, volume.bricks).size > 0)
    return schema.parse(await askElsewhere(context, volume, method, params));
  const answer = await context.healDaemon.ask(method, { volume: volume.name, ...params }, timeoutMs);
  return schema.parse(answer);
}

async function askElsewhere(
  context: Context,
  volume: VolumeInfo,
  method: HealMethod,
  params: Record<string, unknown>,
): Promise<unknown> {
  let problem: unknown = new OperationError('no node with a brick of the volume is connected');
  for (const node of bricksElsewhere(context, volume.bricks).keys()) {
    if (!context.pool?.isConnected(node)) continue;
    try {
      return (await onSite(context, node, 'askHealDaemon', { volume: volume.name, method, params })).answer;
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

/** Of all nodes' daemons: each has crawled the bricks of its node. */
async function crawls(context: Context, volume: VolumeInfo) {
  const own = await ask(context, volume, 'heal.statistics', {}, statisticsAnswer);
  const answers = new Map(own.map((brick) => [brick.brick, brick]));
  await gather(context, volume.bricks, async (node, bricks) => {
    const asked = { volume: volume.name, method: 'heal.statistics' as const, params: {} };
    const { answer } = await onSite(context, node, 'askHealDaemon', asked);
    const names = new Set(bricks.map(brickName));
    for (const one of statisticsAnswer.parse(answer)) if (names.has(one.brick)) answers.set(one.brick, one);
  });
  return answers;
}

async function askDaemon(context: Context, volume: VolumeInfo, operation: HealOperation): Promise<HealData> {
  try {
    switch (operation.kind) {
      case 'heal-count':
        return { kind: 'count', bricks: await counts(context, volume, operation.replicaOf) };
      case 'statistics': {
        const answers = await crawls(context, volume);
        return {
          kind: 'statistics',
          bricks: volume.bricks.map((brick, index) => ({
            index,
            hostname: brick.host,
            connected: answers.get(brickName(brick))?.connected ?? false,
            crawls: answers.get(brickName(brick))?.crawls ?? [],
          })),
        };
      }
      default: {
        const full = operation.kind === 'full';
        const { started } = await ask(context, volume, 'heal.launch', { full }, launchAnswer);
        const params = { volume: volume.name, method: 'heal.launch' as const, params: { full } };
        await gather(context, volume.bricks, (node) => onSite(context, node, 'askHealDaemon', params));
        if (!started) throw new Error('not all bricks of a set are connected');
        return { kind: 'done' };
      }
    }
  } catch (error) {
    context.log.write('WARNING', 'management', `heal daemon of ${volume.name}: ${(error as Error).message}`);
    throw new OperationError(
      "Glusterd Syncop Mgmt brick op 'Heal' failed. Please check glustershd log file for details.",
    );
  }
}

async function counts(context: Context, volume: VolumeInfo, replicaOf: string | undefined) {
  const answers = new Map(
    (await ask(context, volume, 'heal.count', {}, countAnswer)).map((one) => [one.brick, one.count]),
  );
  const all = volume.bricks.map((brick) => ({
    name: brickName(brick),
    count: answers.get(brickName(brick)) ?? null,
  }));
  if (replicaOf === undefined) return all;
  const named = await brickNamed(context, volume, replicaOf);
  const at = named ? volume.bricks.indexOf(named) : -1;
  if (at < 0) throw new Error(`no brick ${replicaOf}`);
  const size = volume.type === 'replicate' ? volume.replicaCount : volume.disperseCount;
  const first = at - (at % size);
  return all.slice(first, first + size);
}

/** As the heal daemon knows the brick; what is the name of none stays as it is. */
async function nameAsMade(context: Context, volume: VolumeInfo, typed: string): Promise<string> {
  const brick = await brickNamed(context, volume, typed);
  return brick ? brickName(brick) : typed;
}

async function inquire(context: Context, volume: VolumeInfo, operation: HealOperation): Promise<HealData> {
  try {
    if (operation.kind === 'split-brain') {
      const { policy, file } = operation;
      const brick = operation.brick && (await nameAsMade(context, volume, operation.brick));
      const answer = await ask(context, volume, 'heal.splitBrain', { policy, file, brick }, splitBrainAnswer);
      return { kind: 'split-brain', ...answer };
    }
    const kind = operation.kind === 'info' ? operation.what : 'all';
    const answers = await ask(context, volume, 'heal.info', { kind, ...lookersHeal(volume) }, infoAnswer);
    return { kind: 'info', bricks: infoBricks(volume, answers) };
  } catch (error) {
    context.log.write('WARNING', 'management', `heal daemon of ${volume.name}: ${(error as Error).message}`);
    throw new OperationError(`${volume.name}: ${reason(error)}`);
  }
}

/** Who looks up all that is to be healed, as this command does, heals it where clients do that for all kinds of things. */
function lookersHeal(volume: VolumeInfo): { heals?: true } {
  const options = new EffectiveOptions(volume.options);
  const heal = ['data', 'metadata', 'entry'].every((kind) => options.isOn(`cluster.${kind}-self-heal`));
  return heal ? { heals: true } : {};
}

/** A refusal is the daemon's own word; anything else means that there is none to ask. */
function reason(error: unknown): string {
  const { code, message } = error as ManagementError;
  return code === 'NOT_AVAILABLE' ? message : `the self-heal daemon does not answer: ${message}`;
}

/** In the volume's order; a brick that the daemon does not name is not connected. */
function infoBricks(volume: VolumeInfo, answers: z.infer<typeof infoAnswer>): HealBrickData[] {
  const byName = new Map(answers.map((answer) => [answer.brick, answer]));
  return volume.bricks.map((brick) => {
    const answer = byName.get(brickName(brick));
    return {
      name: brickName(brick),
      hostUuid: brick.hostUuid,
      connected: answer?.connected ?? false,
      entries: answer?.entries ?? [],
    };
  });
}
