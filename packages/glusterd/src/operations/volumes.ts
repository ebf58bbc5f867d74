/** What several operations ask of volumes. */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { volumeOpVersions } from '../options/index.ts';
import type { Change } from '../store/documents.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';

export function volumeNamed(context: Context, name: string): VolumeInfo {
  const volume = context.store.state.volumes.get(name);
  if (!volume) throw noSuchVolume(name);
  return volume;
}

export function noSuchVolume(name: string, details: { errno?: number; exit?: number } = {}): OperationError {
  return new OperationError(`Volume ${name} does not exist`, { ...details, noVolume: name });
}

export function localBricks(context: Context, volume: VolumeInfo): BrickInfo[] {
  const { uuid } = context.store.state.node;
  return volume.bricks.filter((brick) => brick.hostUuid === uuid);
}

/** `HOST:/path` */
export function brickName(brick: Pick<BrickInfo, 'host' | 'path'>): string {
  return `${brick.host}:${brick.path}`;
}

/** The next generation of a volume, with the op-versions that its options demand. */
export function nextVersion(volume: VolumeInfo): VolumeInfo {
  return { ...volume, version: volume.version + 1, ...volumeOpVersions(volume) };
}

/** Commits a change: in a pool by agreement, under the lock that the operation has or one of its own. */
export async function commitQuietly(context: Context, change: Change): Promise<void> {
  const { propose, pool, store } = context;
  if (propose) await propose(change);
  else if (pool && pool.id !== null) await pool.transact('change', (own) => own(change));
  else await store.commit(change);
}

/** Commits a change and lets everyone hear of volfiles that are different now. */
export async function commit(context: Context, change: Change): Promise<void> {
  await commitQuietly(context, change);
  context.volfiles.publish();
}

export function commitVolume(context: Context, volume: VolumeInfo): Promise<void> {
  return commit(context, { volumes: new Map([[volume.name, volume]]) });
}

/**
 * For who is no operation, and has no lock: `next` is made of the volume as it is when it is this change's turn, since what was read
 * before that would undo what others have changed meanwhile; null changes nothing. Throws OperationError.
 */
export async function commitLatest(
  context: Context,
  name: string,
  next: (latest: VolumeInfo | undefined) => VolumeInfo | null,
): Promise<void> {
  const { pool, store, locks } = context;
  const change = (): Change | null => {
    const volume = next(store.state.volumes.get(name));
    return volume && { volumes: new Map([[name, volume]]) };
  };
  const make = async (propose: (change: Change) => Promise<void>) => {
    const own = change();
    if (own) await propose(own);
  };
  if (pool && pool.id !== null) await pool.transact('change', make);
  else if (locks.holders().some(({ subject }) => subject === name || subject === 'all'))
    throw new OperationError(`Another transaction is in progress for ${name}. Please try again after some time.`);
  else await make((own) => store.commit(own));
  context.volfiles.publish();
}

/** Throws OperationError. */
export function startedVolume(context: Context, name: string): VolumeInfo {
  const volume = volumeNamed(context, name);
  if (volume.status !== 'started') throw new OperationError(`Volume ${name} is not in the started state`);
  return volume;
}
