import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { UndecidedError } from '../pool/errors.ts';
import { gather, onAllSites, onSite } from '../pool/sites.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import type { Operation } from '../transaction/operation.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { type BrickProblem, brickProblem, worstProblem } from './brick-problem.ts';
import { requireConnected, startElsewhere, stopElsewhere } from './brick-sites.ts';
import { runHooks } from './run-hooks.ts';
import { commitVolume, localBricks, nextVersion, volumeNamed } from './volumes.ts';

export function startVolume(request: RequestOf<'volume.start'>): Operation<VolumeInfo, ReplyData['volume.start']> {
  return {
    name: 'volume start',
    subject: request.volume,
    stage: async (context) => stage(context, request),
    commit: (context, volume) => start(context, volume, request.force),
  };
}

async function stage(context: Context, { volume: name, force }: RequestOf<'volume.start'>): Promise<VolumeInfo> {
  const volume = volumeNamed(context, name);
  if (volume.status === 'started' && !force) throw new OperationError(`Volume ${name} already started`);
  context.volfiles.check(volume);
  refuse(worstProblem(localBricks(context, volume).map((brick) => brickProblem(context, volume, brick))), force);
  if (!force) requireConnected(context, volume.bricks);
  const ask = (node: string) => onSite(context, node, 'brickProblems', { volume });
  const answers = await (force ? gather : onAllSites)(context, volume.bricks, ask);
  for (const { problem, foreign } of answers) refuse(problem === null ? null : { text: problem, foreign }, force);
  return volume;
}

function refuse(problem: BrickProblem | null, force: boolean): void {
  if (problem !== null && (problem.foreign || !force)) throw new OperationError(problem.text);
}

export function hookArguments(context: Context, volume: VolumeInfo, operation: string): string[] {
  const others = [...context.store.state.volumes.values()].filter(
    (other) => other.name !== volume.name && other.status === 'started',
  );
  const edge = operation === 'start' ? 'first' : 'last';
  return [
    `--volname=${volume.name}`,
    `--${edge}=${others.length === 0 ? 'yes' : 'no'}`,
    '--version=1',
    `--volume-op=${operation}`,
    `--gd-workdir=${context.directories.work}`,
  ];
}

function begun(volume: VolumeInfo): VolumeInfo {
  const next = nextVersion(volume);
  return { ...next, status: 'started', startedVersion: next.version };
}

async function start(context: Context, volume: VolumeInfo, force: boolean): Promise<ReplyData['volume.start']> {
  const args = hookArguments(context, volume, 'start');
  await runHooks(context, 'start', 'pre', args);
  const running: { brick: BrickInfo; port: number }[] = [];
  const failures: string[] = [];
  await Promise.all(
    localBricks(context, volume).map(async (brick) => {
      try {
        running.push({ brick, port: await context.supervisor.startBrick(volume, brick) });
      } catch (error) {
        if (!(error instanceof OperationError)) throw error;
        failures.push(error.message);
      }
    }),
  );
  const elsewhere = await startElsewhere(context, volume, volume.bricks);
  const failed = failures.length + elsewhere.failures.length;
  for (const text of elsewhere.failures) context.log.write('ERROR', 'management', text);
  const takeBack = async () => {
    if (volume.status === 'started') return;
    for (const { brick } of running) await context.supervisor.stopBrick(volume, brick);
    await stopElsewhere(context, volume, volume.bricks);
  };
  if (failed > 0 && !force) {
    await takeBack();
    const where = failures.length > 0 ? 'localhost' : 'a peer';
    throw new OperationError(`Commit failed on ${where}. Please check log file for details.`);
  }
  const ports = new Map(running.map(({ brick, port }) => [brick.brickId, port]));
  for (const [id, port] of elsewhere.ports) ports.set(id, port);
  const bricks = volume.bricks.map((brick) => ({ ...brick, port: ports.get(brick.brickId) ?? brick.port ?? 0 }));
  const started: VolumeInfo = { ...(volume.status === 'started' ? volume : begun(volume)), bricks };
  try {
    await commitVolume(context, started);
  } catch (error) {
    // Without a majority nobody else would know of the bricks; alone it is the next start that ends them.
    if (context.pool?.isShared && !(error instanceof UndecidedError)) await takeBack();
    throw error;
  }
  await context.healDaemon.update();
  await runHooks(context, 'start', 'post', args);
  return { volume: volume.name, id: volume.id };
}
