/** Directories that become bricks of a volume, new or existing. */
import { mountOf } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { BrickInfo } from '../volume.ts';
import { makeBrick, realPath, splitBrick } from './brick-checks.ts';
import { hostNameMax } from './named-brick.ts';
import { brickName } from './volumes.ts';

/** Bricks by what a person typed; `brickId` numbers them. */
export async function resolveBricks(
  context: Context,
  texts: readonly string[],
  brickId: (index: number) => string,
): Promise<BrickInfo[]> {
  const bricks: BrickInfo[] = [];
  for (const [index, text] of texts.entries()) {
    const { host, path } = splitBrick(text);
    const hostUuid = host.length > hostNameMax ? null : await context.hostBook.nodeOf(host, context.store.state);
    if (hostUuid === null) throw new OperationError(`Host ${host} is not in 'Peer in Cluster' state`);
    if (context.pool?.isShared && !context.pool.isConnected(hostUuid))
      throw new OperationError(`Host ${host} not connected`);
    // What the path of another node leads to is found out there.
    const isElsewhere = context.pool?.isShared === true && hostUuid !== context.store.state.node.uuid;
    const real = isElsewhere ? path : realPath(context, path);
    bricks.push({ host, hostUuid, path, realPath: real, brickId: brickId(index) });
  }
  return bricks;
}

/** Two bricks of the same request by different names of the same host, or one inside another. */
export function checkDisjoint(bricks: readonly BrickInfo[]): void {
  for (const [i, brick] of bricks.entries())
    for (const other of bricks.slice(0, i)) {
      const [a, b] = [`${brick.realPath ?? brick.path}/`, `${other.realPath ?? other.path}/`];
      if (brick.hostUuid === other.hostUuid && (a.startsWith(b) || b.startsWith(a)))
        throw new OperationError(
          `Brick: ${brickName(brick)} not available. Brick may be containing or be contained by an existing brick.`,
        );
    }
}

/** Makes and marks the directories of bricks of this node; gives back how to undo it all. */
export function makeBricks(context: Context, bricks: readonly BrickInfo[], volumeId: string): () => void {
  const undo: (() => void)[] = [];
  const undoAll = () => {
    for (const step of undo.splice(0).reverse()) step();
  };
  try {
    for (const brick of bricks) undo.push(makeBrick(context, brick, volumeId));
  } catch (error) {
    undoAll();
    throw error;
  }
  return undoAll;
}

/** Bricks of this node know their file system: those that share one share its space. */
export async function withFacts(context: Context, bricks: readonly BrickInfo[]): Promise<BrickInfo[]> {
  const { uuid } = context.store.state.node;
  const mounts = (await context.files.read('/proc/mounts')) ?? '';
  return bricks.map((brick) => {
    if (brick.hostUuid !== uuid || brick.fsid !== undefined) return brick;
    const real = brick.realPath ?? brick.path;
    const point = mountOf(real, mounts)?.point ?? '/';
    const mountDir = point === '/' ? real : real.slice(point.length) || '/';
    return { ...brick, fsid: context.inspector.facts(brick.path).fsid, mountDir };
  });
}
