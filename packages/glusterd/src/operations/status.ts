/** `volume status`: asks the kernel which processes live, and the bricks what they hold. */
import { mountOf } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { BrickDetail, ProcessData, ReplyData, VolumeStatusData } from '../protocol/replies.ts';
import type { RequestOf, StatusSection } from '../protocol/requests.ts';
import { isHealable } from '../volgen/index.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickFacts } from './brick-facts.ts';
import { taskData, withTaskNow } from './tasks.ts';
import { brickName, localBricks, volumeNamed } from './volumes.ts';

type StatusRequest = RequestOf<'volume.status'>;

export async function volumeStatus(context: Context, request: StatusRequest): Promise<ReplyData['volume.status']> {
  const named = request.volume;
  const volumes =
    named === undefined
      ? [...context.store.state.volumes.values()].filter((volume) => volume.status === 'started')
      : [startedVolume(context, named)];
  return { volumes: await Promise.all(volumes.map((volume) => statusOf(context, volume, request))) };
}

function startedVolume(context: Context, name: string): VolumeInfo {
  const volume = volumeNamed(context, name);
  if (volume.status !== 'started') throw new OperationError(`Volume ${name} is not started`);
  return volume;
}

async function statusOf(context: Context, volume: VolumeInfo, request: StatusRequest): Promise<VolumeStatusData> {
  const { section, brick, daemon } = request;
  const { task } = await withTaskNow(context, volume.name);
  const tasks = task ? { task: taskData(context, task) } : {};
  if (section === 'tasks') return { volume: volume.name, processes: [], ...tasks };
  if (daemon === 'shd') {
    if (!isHealable(volume)) throw new OperationError(`Volume ${volume.name} is not of type replicate or disperse`);
    return { volume: volume.name, processes: [await healDaemon(context, volume)] };
  }
  refuseDaemon(volume, daemon);
  const bricks = localBricks(context, volume);
  const chosen = brick === undefined ? bricks : bricks.filter((one) => brickName(one) === brick);
  if (chosen.length === 0 && brick !== undefined)
    throw new OperationError(`No brick ${brick} in volume ${volume.name}`);
  const processes = await Promise.all(chosen.map((one) => brickProcess(context, volume, one, section)));
  const isWhole = section === undefined && brick === undefined;
  if (isWhole && isHealable(volume)) processes.push(await healDaemon(context, volume));
  return { volume: volume.name, processes, ...tasks };
}

/** Daemons that this build does not have are refused as when they are switched off; `nfs` shows the bricks. */
function refuseDaemon(volume: VolumeInfo, daemon: StatusRequest['daemon']): void {
  if (daemon === 'quotad') throw new OperationError(`Volume ${volume.name} does not have quota enabled`);
  if (daemon === 'bitd') throw new OperationError(`Volume ${volume.name} does not have bitrot enabled`);
  if (daemon === 'scrub')
    throw new OperationError(
      `Volume ${volume.name} does not have bitrot enabled. Scrubber will be enabled automatically if bitrot is enabled`,
    );
  if (daemon === 'snapd') throw new OperationError(`Volume ${volume.name} does not have uss enabled`);
}

async function brickProcess(
  context: Context,
  volume: VolumeInfo,
  brick: BrickInfo,
  section: StatusSection | undefined,
): Promise<ProcessData> {
  const state = await context.supervisor.brickState(volume, brick);
  const process: ProcessData = {
    kind: 'brick',
    hostname: brick.host,
    path: brick.path,
    peerId: brick.hostUuid,
    ...state,
  };
  if (section === 'detail') return { ...process, ...(await detailOf(context, brick)) };
  if (section === undefined || !state.online) return process;
  return { ...process, ...(await brickFacts(context, volume, brick, section)) };
}

async function detailOf(context: Context, brick: BrickInfo): Promise<{ detail?: BrickDetail }> {
  try {
    const facts = context.inspector.facts(brick.path);
    const mounts = (await context.files.read('/proc/mounts')) ?? '';
    const mount = mountOf(context.inspector.realPath(brick.path), mounts);
    return {
      detail: {
        fileSystem: mount?.type ?? 'N/A',
        device: mount?.device ?? 'N/A',
        mountOptions: mount?.options ?? 'N/A',
        inodeSize: mount ? await context.inspector.inodeSize(mount) : 0,
        blockSize: facts.blockSize,
        totalBytes: facts.totalBytes,
        freeBytes: facts.freeBytes,
        inodes: facts.inodes,
        freeInodes: facts.freeInodes,
      },
    };
  } catch (error) {
    context.log.write('WARNING', 'management', `brick ${brickName(brick)}: ${(error as Error).message}`);
    return {};
  }
}

async function healDaemon(context: Context, volume: VolumeInfo): Promise<ProcessData> {
  const state = await context.supervisor.healDaemonState(volume.name);
  return {
    kind: 'daemon',
    hostname: 'Self-heal Daemon',
    path: 'localhost',
    peerId: context.store.state.node.uuid,
    ...state,
  };
}
