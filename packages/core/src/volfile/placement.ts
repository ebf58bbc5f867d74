/**
 * A digest of what decides where the files of a distributed volume are. Clients tell it to bricks, so that a rebalance
 * knows who still works by other bricks than its own (docs/distribute.md, Waiting for clients).
 */
import { createHash } from 'node:crypto';
import type { Volfile, VolumeNode } from './types.ts';

/** A subvolume of cluster/distribute. */
export interface PlacedSubvolume {
  /** `HOST:PATH` of each brick below it, in the order of the graph. */
  readonly bricks: readonly string[];
  /** It is to leave the volume: nothing new is put there. */
  readonly leaves: boolean;
}

const digestLength = 32;
const distributes = new Set(['cluster/distribute', 'cluster/nufa', 'cluster/switch']);
const leavingOption = 'decommissioned-bricks';

/** The same for the same subvolumes in the same order, and nothing but them. */
export function placementDigest(subvolumes: readonly PlacedSubvolume[]): string {
  const plain = subvolumes.map(({ bricks, leaves }) => [leaves, ...bricks]);
  return createHash('sha256').update(JSON.stringify(plain)).digest('hex').slice(0, digestLength);
}

/** The digest of a graph. Undefined: no translator of it distributes files. */
export function placementOf(volfile: Volfile): string | undefined {
  const nodes = new Map(volfile.volumes.map((node) => [node.name, node]));
  const found = volfile.volumes.filter(({ type }) => distributes.has(type));
  if (found.length === 0) return undefined;
  return placementDigest(found.flatMap((node) => subvolumesOf(node, nodes)));
}

function subvolumesOf(distribute: VolumeNode, nodes: ReadonlyMap<string, VolumeNode>): PlacedSubvolume[] {
  const leaving = new Set(distribute.options.get(leavingOption)?.split(/[\s,]+/));
  return distribute.subvolumes.map((name) => ({ bricks: bricksBelow(name, nodes), leaves: leaving.has(name) }));
}

/** What ends elsewhere than at a brick of another process is told by its name. */
function bricksBelow(name: string, nodes: ReadonlyMap<string, VolumeNode>): string[] {
  const node = nodes.get(name);
  if (!node) return [name];
  if (node.type === 'protocol/client')
    return [`${node.options.get('remote-host') ?? ''}:${node.options.get('remote-subvolume') ?? ''}`];
  return node.subvolumes.length === 0 ? [name] : node.subvolumes.flatMap((child) => bricksBelow(child, nodes));
}

/**
 * The volfile with the digest, and the volume's version that it was made of (0: not known), on every client of a brick. Another
 * digest needs a new graph: the old one's connections tell who has not gone over to it.
 */
export function withPlacement(volfile: Volfile, version: number): Volfile {
  const placement = placementOf(volfile);
  if (placement === undefined) return volfile;
  const added: [string, string][] = [['placement', placement]];
  if (version > 0) added.push(['placement-version', `${version}`]);
  return {
    ...volfile,
    volumes: volfile.volumes.map((node) =>
      node.type === 'protocol/client' ? { ...node, options: new Map([...node.options, ...added]) } : node,
    ),
  };
}
