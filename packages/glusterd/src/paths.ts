/** Where things are: GlusterFS's places, which scripts look into. */
import { createHash } from 'node:crypto';
import type { BrickInfo } from './volume.ts';

export interface Directories {
  /** `/var/lib/glusterd` */
  work: string;
  /** `/var/run/gluster` */
  run: string;
  /** `/var/log/glusterfs` */
  log: string;
}

export const defaultDirectories: Directories = {
  work: '/var/lib/glusterd',
  run: '/var/run/gluster',
  log: '/var/log/glusterfs',
};

/** `/a/b` as part of a file name: `-a-b`. */
export function dashed(path: string): string {
  return path.replaceAll('/', '-');
}

/** `/a/b` without the first slash: `a-b`, as in volfile and log names. */
export function exportName(path: string): string {
  return dashed(path.replace(/^\//, ''));
}

export function volumeDirectory(directories: Directories, volume: string): string {
  return `${directories.work}/vols/${volume}`;
}

/** Name of a brick's volfile and the id by which it asks for it. */
export function brickVolfileId(volume: string, brick: Pick<BrickInfo, 'host' | 'path'>): string {
  return `${volume}.${brick.host}.${exportName(brick.path)}`;
}

export function brickPidFile(
  directories: Directories,
  volume: string,
  brick: Pick<BrickInfo, 'host' | 'path'>,
): string {
  return `${directories.run}/vols/${volume}/${brick.host}${dashed(brick.path)}.pid`;
}

export function brickLogFile(directories: Directories, brick: Pick<BrickInfo, 'path'>): string {
  return `${directories.log}/bricks/${exportName(brick.path)}.log`;
}

/** Unix sockets have 16 hex digits for a name: their paths must be short whatever the brick is called. */
export function socketPath(directories: Directories, key: string): string {
  const digest = createHash('sha256').update(key).digest('hex').slice(0, 16);
  return `${directories.run}/${digest}.socket`;
}

export function brickSocket(directories: Directories, volume: string, brick: Pick<BrickInfo, 'host' | 'path'>): string {
  return socketPath(directories, brickPidFile(directories, volume, brick));
}

/** Names the heal daemon's process as long as it heals the volume. */
export function healDaemonPidFile(directories: Directories, volume: string): string {
  return `${directories.run}/shd/${volume}/${volume}-shd.pid`;
}

/** Of the heal daemon's process, whatever it heals. */
export function nodeHealDaemonPidFile(directories: Directories): string {
  return `${directories.run}/glustershd/glustershd.pid`;
}

export function healDaemonSocket(directories: Directories): string {
  return socketPath(directories, nodeHealDaemonPidFile(directories));
}

/** Of versions with a heal daemon for each volume. */
export function formerHealDaemonSocket(directories: Directories, volume: string): string {
  return socketPath(directories, healDaemonPidFile(directories, volume));
}

/** Of the process that moves the files of a volume; its folder has its last status, too. */
export function rebalancePidFile(directories: Directories, volume: string, node: string): string {
  return `${volumeDirectory(directories, volume)}/rebalance/${node}.pid`;
}

export function rebalanceStatusFile(directories: Directories, volume: string): string {
  return `${volumeDirectory(directories, volume)}/rebalance/status.json`;
}

/** What glusterd knows of that process beyond the documents. */
export function rebalanceNoteFile(directories: Directories, volume: string): string {
  return `${volumeDirectory(directories, volume)}/rebalance/task.json`;
}

export function rebalanceSocket(directories: Directories, volumeId: string): string {
  return `${directories.run}/gluster-rebalance-${volumeId}.sock`;
}

/** The TCP port of glusterd unless it is told otherwise. */
export const managementPort = 24007;
