/** A volume's graph through gfapi, for devices: nothing in it may hold back writes or answer from what it once read. */
import type { Clock, Log, Random, Volfile, VolumeNode } from '@mortar/core';
import { connect, type Server, type Volume } from '@mortar/gfapi';
import type { VolumeGraph } from './graph.ts';

export interface VolumePlace {
  readonly volume: string;
  readonly servers: readonly Server[];
}

export interface VolumePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Throws an error with a `code`. */
export async function connectGraph(
  place: VolumePlace | { readonly volfile: { text: string } },
  { clock, random, log }: VolumePorts,
): Promise<{ graph: VolumeGraph; close(): Promise<void> }> {
  const volume = await connect({
    ...place,
    uid: 0,
    gid: 0,
    clock,
    random,
    prepare: blockVolfile,
    log: (line) => log.write('DEBUG', 'volume', line),
  });
  return { graph: graphOf(volume, { clock, random, log }), close: () => volume.close() };
}

export function graphOf(volume: Volume, { clock, random, log }: VolumePorts): VolumeGraph {
  return { clock, random, log, run: (work) => volume.graph.run(work) };
}

/** Of a client's graph: what runs requests in threads may stay. */
const harmless: ReadonlySet<string> = new Set(['performance/io-threads']);

/**
 * The graph of a volume without its caches and delays, and with replicas that a minority does not answer for. A holder's
 * acknowledgements mean that a quorum of bricks has it; what it reads is what another holder has left.
 */
export function blockVolfile(volfile: Volfile): Volfile {
  const nodes = new Map(volfile.volumes.map((node) => [node.name, node]));
  const isLeftOut = ({ type }: VolumeNode) => type.startsWith('performance/') && !harmless.has(type);
  const standIn = (name: string): string => {
    const node = nodes.get(name);
    const below = node?.subvolumes[0];
    return node && below !== undefined && isLeftOut(node) ? standIn(below) : name;
  };
  const volumes = volfile.volumes
    .filter((node) => !isLeftOut(node))
    .map((node) => ({ ...node, subvolumes: node.subvolumes.map(standIn) }));
  return { ...volfile, volumes };
}
