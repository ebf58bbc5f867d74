/** `volume status`: asks the kernel which processes live, and the bricks what they hold. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { gather, onSite } from '../pool/sites.ts';
import type { ProcessData, ReplyData, VolumeStatusData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { isHealable } from '../volgen/index.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { localProcesses } from './local-status.ts';
import { brickNamed } from './named-brick.ts';
import { taskData, withTaskNow } from './tasks.ts';
import { localBricks, volumeNamed } from './volumes.ts';

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
    return { volume: volume.name, processes: await processesOf(context, volume, [], request, true) };
  }
  refuseDaemon(volume, daemon);
  const own = new Set(context.pool?.others().map(({ uuid }) => uuid)).add(context.store.state.node.uuid);
  const bricks = volume.bricks.filter((one) => own.has(one.hostUuid));
  const named = brick === undefined ? undefined : await brickNamed(context, { ...volume, bricks }, brick);
  if (brick !== undefined && !named) throw new OperationError(`No brick ${brick} in volume ${volume.name}`);
  const chosen = named ? [named] : bricks;
  const isWhole = section === undefined && brick === undefined;
  return { volume: volume.name, processes: await processesOf(context, volume, chosen, request, isWhole), ...tasks };
}

/** Of every node that answers, in the order of the volume; those of others are left out, as GlusterFS does. */
export async function processesOf(
  context: Context,
  volume: VolumeInfo,
  bricks: readonly BrickInfo[],
  { section }: Pick<StatusRequest, 'section'> = {},
  withDaemon = false,
): Promise<ProcessData[]> {
  const own = localBricks(context, volume).filter((brick) => bricks.includes(brick));
  const asked = withDaemon ? volume.bricks : bricks;
  const elsewhere = await gather(context, asked, async (node, theirs) => {
    const ids = theirs.filter((brick) => bricks.includes(brick)).map((brick) => brick.brickId);
    const params = { volume: volume.name, bricks: ids, section, withDaemon };
    const { processes } = await onSite(context, node, 'processes', params);
    const name = context.pool!.nameOf(node);
    return processes.map((row) => (row.kind === 'daemon' ? { ...row, path: name } : row) as ProcessData);
  });
  const all = [...(await localProcesses(context, volume, own, { section, withDaemon })), ...elsewhere.flat()];
  const place = (row: ProcessData) =>
    row.kind === 'daemon'
      ? volume.bricks.length
      : volume.bricks.findIndex((brick) => brick.host === row.hostname && brick.path === row.path);
  return all.sort((a, b) => place(a) - place(b));
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
