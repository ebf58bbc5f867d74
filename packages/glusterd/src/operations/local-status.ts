/** Rows of `volume status` for what runs on this node. */
import { mountOf } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import type { BrickDetail, ProcessData } from '../protocol/replies.ts';
import type { StatusSection } from '../protocol/requests.ts';
import { isHealable } from '../volgen/index.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickFacts, healDaemonFacts } from './brick-facts.ts';
import { brickName } from './volumes.ts';

export async function localProcesses(
  context: Context,
  volume: VolumeInfo,
  bricks: readonly BrickInfo[],
  { section, withDaemon }: { section?: StatusSection | undefined; withDaemon: boolean },
): Promise<ProcessData[]> {
  const processes = await Promise.all(bricks.map((brick) => brickProcess(context, volume, brick, section)));
  if (withDaemon && isHealable(volume)) processes.push(await healDaemon(context, volume, section));
  return processes;
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

async function healDaemon(
  context: Context,
  volume: VolumeInfo,
  section: StatusSection | undefined,
): Promise<ProcessData> {
  const state = await context.healDaemon.state(volume.name);
  const facts = section !== undefined && state.online ? await healDaemonFacts(context, volume, section) : {};
  return {
    kind: 'daemon',
    hostname: 'Self-heal Daemon',
    path: 'localhost',
    peerId: context.store.state.node.uuid,
    ...state,
    ...facts,
  };
}
