/** Names of volfiles: as files below management's directory, and as the ids by which processes ask for them. */
import type { BrickInfo, VolumeInfo } from '../volume.ts';

export type VolfileName =
  | { kind: 'client'; volume: string; trusted: boolean }
  | { kind: 'brick' | 'brick-client'; volume: string; brick: Pick<BrickInfo, 'host' | 'path'> }
  | { kind: 'shd' | 'rebalance' | 'gfproxyd' | 'gfproxy-client' | 'snapd'; volume: string }
  | { kind: 'quotad' | 'bitd' | 'scrub' | 'nfs' };

/** `/bricks/b1` as it stands in names: `bricks-b1`. Lossy, never to be read back. */
export function pathInName(path: string): string {
  return path.replace(/^\//, '').replaceAll('/', '-');
}

/** Path below the working directory. */
export function volfileName(name: VolfileName): string {
  switch (name.kind) {
    case 'quotad':
      return 'quotad/quotad.vol';
    case 'bitd':
      return 'bitd/bitd-server.vol';
    case 'scrub':
      return 'scrub/scrub-server.vol';
    case 'nfs':
      return 'nfs/nfs-server.vol';
    default:
      return `vols/${name.volume}/${fileInVolume(name)}`;
  }
}

function fileInVolume(name: Exclude<VolfileName, { kind: 'quotad' | 'bitd' | 'scrub' | 'nfs' }>): string {
  const { volume } = name;
  switch (name.kind) {
    case 'client':
      return `${name.trusted ? 'trusted-' : ''}${volume}.tcp-fuse.vol`;
    case 'brick':
      return `${volume}.${name.brick.host}.${pathInName(name.brick.path)}.vol`;
    case 'brick-client':
      return `${volume}.client.${name.brick.host}.${pathInName(name.brick.path)}.vol`;
    case 'shd':
    case 'rebalance':
    case 'snapd':
      return `${volume}-${name.kind}.vol`;
    case 'gfproxyd':
      return `${volume}.gfproxyd.vol`;
    case 'gfproxy-client':
      return `trusted-${volume}.tcp-gfproxy-fuse.vol`;
  }
}

/** By which id a process asks for a volfile. */
export function volfileId(name: VolfileName): string {
  switch (name.kind) {
    case 'client':
      return name.volume;
    case 'brick':
      return `${name.volume}.${name.brick.host}.${pathInName(name.brick.path)}`;
    case 'brick-client':
      return `${name.volume}.client.${name.brick.host}.${pathInName(name.brick.path)}`;
    case 'quotad':
    case 'bitd':
    case 'scrub':
    case 'nfs':
      return `gluster/${name.kind}`;
    default:
      return `${name.kind}/${name.volume}`;
  }
}

export interface FoundVolfile {
  name: VolfileName;
  volume: VolumeInfo | undefined;
  brick: BrickInfo | undefined;
}

/**
 * What an id asks for among these volumes, or undefined if nothing. `trusted` tells whether who asks is a peer;
 * `client/<vol>` gets the untrusted volfile even then. Brick ids are compared, not taken apart: they are ambiguous.
 */
export function volfileOfId(id: string, volumes: readonly VolumeInfo[], trusted: boolean): FoundVolfile | undefined {
  const slash = id.indexOf('/');
  const prefix = slash > 0 ? id.slice(0, slash) : '';
  const rest = id.slice(slash + 1);
  if (prefix === 'gluster')
    return rest === 'quotad' || rest === 'bitd' || rest === 'scrub' || rest === 'nfs'
      ? { name: { kind: rest }, volume: undefined, brick: undefined }
      : undefined;
  const volume = volumes.find(({ name }) => name === rest || `${name}.tcp` === rest);
  const found = (name: VolfileName): FoundVolfile | undefined => volume && { name, volume, brick: undefined };
  if (prefix === 'client') return found({ kind: 'client', volume: volume?.name ?? rest, trusted: false });
  if (
    prefix === 'shd' ||
    prefix === 'rebalance' ||
    prefix === 'gfproxyd' ||
    prefix === 'gfproxy-client' ||
    prefix === 'snapd'
  )
    return found({ kind: prefix, volume: rest });
  if (prefix !== '') return undefined;
  return found({ kind: 'client', volume: volume?.name ?? rest, trusted }) ?? brickOfId(rest, volumes);
}

function brickOfId(id: string, volumes: readonly VolumeInfo[]): FoundVolfile | undefined {
  for (const volume of volumes)
    for (const brick of volume.bricks)
      for (const kind of ['brick', 'brick-client'] as const) {
        const name: VolfileName = { kind, volume: volume.name, brick };
        if (volfileId(name) === id) return { name, volume, brick };
      }
  return undefined;
}
