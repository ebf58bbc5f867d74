/** The command lines of the processes that management starts; scripts and monitoring read them in `ps`. */
import {
  brickLogFile,
  brickPidFile,
  brickSocket,
  brickVolfileId,
  type Directories,
  healDaemonSocket,
  nodeHealDaemonPidFile,
  rebalancePidFile,
  rebalanceSocket,
} from '../paths.ts';
import type { BrickInfo, VolumeInfo, VolumeTask } from '../volume.ts';

export function brickArguments(
  directories: Directories,
  volume: Pick<VolumeInfo, 'name'>,
  brick: BrickInfo,
  port: number,
): string[] {
  return [
    '-s',
    brick.host,
    '--volfile-id',
    brickVolfileId(volume.name, brick),
    '-p',
    brickPidFile(directories, volume.name, brick),
    '-S',
    brickSocket(directories, volume.name, brick),
    '--brick-name',
    brick.path,
    '-l',
    brickLogFile(directories, brick),
    '--xlator-option',
    `*-posix.glusterd-uuid=${brick.hostUuid}`,
    '--process-name',
    'brick',
    '--brick-port',
    `${port}`,
    '--xlator-option',
    `${volume.name}-server.listen-port=${port}`,
  ];
}

/** What the heal daemon of a node has in place of the id of a volfile. */
const healDaemonId = 'gluster/glustershd';

export function healDaemonArguments(directories: Directories, node: string, server: string): string[] {
  return [
    '-s',
    server,
    '--volfile-id',
    healDaemonId,
    '-p',
    nodeHealDaemonPidFile(directories),
    '-l',
    `${directories.log}/glustershd.log`,
    '-S',
    healDaemonSocket(directories),
    '--xlator-option',
    `*replicate*.node-uuid=${node}`,
    '--process-name',
    'glustershd',
    '--client-pid=-6',
  ];
}

const rebalanceNumbers: Readonly<Record<VolumeTask['command'], number>> = {
  migrate: 1,
  'fix-layout': 4,
  force: 5,
  detach: 5,
};

/** The commit hash that a task gives the volume: the same on all nodes, another one for each task. 0, 1 and 2 mean something else. */
export function commitHashOf({ command, id }: Pick<VolumeTask, 'command' | 'id'>): number {
  return command === 'fix-layout' ? 0 : (Number.parseInt(id.slice(0, 8), 16) | 4) >>> 0;
}

export function rebalanceArguments(
  directories: Directories,
  volume: Pick<VolumeInfo, 'name' | 'id'>,
  task: Pick<VolumeTask, 'command' | 'id'>,
  node: string,
  server: string,
  share = '',
): string[] {
  const commitHash = commitHashOf(task);
  return [
    '-s',
    server,
    '--volfile-id',
    `rebalance/${volume.name}`,
    '--xlator-option',
    '*dht.assert-no-child-down=yes',
    '--xlator-option',
    `*dht.rebalance-cmd=${rebalanceNumbers[task.command]}`,
    ...(commitHash === 0 ? [] : ['--xlator-option', `*dht.commit-hash=${commitHash}`]),
    ...(share === '' ? [] : ['--xlator-option', `*dht.rebalance-share=${share}`]),
    '-S',
    rebalanceSocket(directories, volume.id),
    '-p',
    rebalancePidFile(directories, volume.name, node),
    '-l',
    `${directories.log}/${volume.name}-rebalance.log`,
    '--process-name',
    'rebalance',
    '--client-pid=-3',
  ];
}

export function isRebalance(words: readonly string[], volume: string): boolean {
  return follows(words, '--process-name') === 'rebalance' && follows(words, '--volfile-id') === `rebalance/${volume}`;
}

/** Whether a command line is that of this brick of this volume. */
export function isBrickProcess(words: readonly string[], volume: string, brick: BrickInfo): boolean {
  return (
    follows(words, '--brick-name') === brick.path && follows(words, '--volfile-id') === brickVolfileId(volume, brick)
  );
}

/** Whether a command line is that of the heal daemon with this pid file. */
export function isHealDaemon(words: readonly string[], pidFile: string): boolean {
  return isHealing(words, healDaemonId, pidFile);
}

/** Whether it is that of a heal daemon of this volume alone, as versions before had. */
export function isFormerHealDaemon(words: readonly string[], volume: string, pidFile: string): boolean {
  return isHealing(words, `shd/${volume}`, pidFile);
}

function isHealing(words: readonly string[], id: string, pidFile: string): boolean {
  return (
    follows(words, '--process-name') === 'glustershd' &&
    follows(words, '--volfile-id') === id &&
    follows(words, '-p') === pidFile
  );
}

/** The volume of a process that is a brick of some volume. */
export function brickVolumeOf(words: readonly string[]): string | undefined {
  // Volumes have no dot in their names.
  return follows(words, '--brick-name') === undefined ? undefined : follows(words, '--volfile-id')?.split('.')[0];
}

/** The port that a brick was told to listen at, or 0. */
export function portIn(words: readonly string[]): number {
  const port = Number(follows(words, '--brick-port'));
  return Number.isInteger(port) && port > 0 && port < 65536 ? port : 0;
}

function follows(words: readonly string[], option: string): string | undefined {
  const at = words.indexOf(option);
  return at < 0 ? undefined : words[at + 1];
}
