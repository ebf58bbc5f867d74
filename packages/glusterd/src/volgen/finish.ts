/** Turns drafts into a volfile without the translators that do not exist. */
import type { Volfile, VolumeNode } from '@mortar/core';
import type { VolumeInfo } from '../volume.ts';
import type { GraphBuilder } from './builder.ts';
import { translatorsOf, type VolgenContext } from './context.ts';
import { missingForVolume } from './demand.ts';
import { missingSentence } from './translators.ts';

export class VolgenError extends Error {
  readonly code = 'EVOLGEN';
  readonly volume: string;

  constructor(volume: string, message: string) {
    super(`volume ${volume}: ${message}`);
    this.name = 'VolgenError';
    this.volume = volume;
  }
}

/** Throws VolgenError if options or shape of the volume ask for a translator without which its graphs are wrong. */
export function requireTranslators(volume: VolumeInfo, context: VolgenContext): void {
  const missing = missingForVolume(volume, translatorsOf(context));
  if (missing !== undefined) throw new VolgenError(volume.name, missing);
}

/** The volfile of a graph made for this volume. Throws as `requireTranslators` does. */
export function finish(builder: GraphBuilder, volume: VolumeInfo, context: VolgenContext): Volfile {
  requireTranslators(volume, context);
  return withoutMissing(builder.volfile(), volume.name, translatorsOf(context));
}

/**
 * The graph without the volumes of missing types: who stood above one stands on its first subvolume instead, and what
 * nothing stands on any more goes too. A missing translator with nothing below it cannot be left out.
 */
export function withoutMissing(volfile: Volfile, owner: string, translators: ReadonlySet<string>): Volfile {
  const top = volfile.volumes.at(-1);
  if (!top) return volfile;
  const nodes = new Map(volfile.volumes.map((node) => [node.name, node]));
  const standIn = (name: string): string => {
    const node = nodes.get(name)!;
    if (translators.has(node.type)) return name;
    const below = node.subvolumes[0];
    if (below === undefined) throw new VolgenError(owner, missingSentence(node.type));
    return standIn(below);
  };
  const kept = new Map<string, VolumeNode>();
  const keep = (name: string): void => {
    if (kept.has(name)) return;
    const node = nodes.get(name)!;
    const subvolumes = node.subvolumes.map(standIn);
    kept.set(name, {
      ...node,
      subvolumes,
      options: renamed(node.options, (named) => (nodes.has(named) ? standIn(named) : named)),
    });
    for (const subvolume of subvolumes) keep(subvolume);
  };
  keep(standIn(top.name));
  return { volumes: volfile.volumes.flatMap((node) => kept.get(node.name) ?? []) };
}

/** An option that names subvolumes: a brick that leaves, and is not known by its name, would be taken to be empty. */
const leavingOption = 'decommissioned-bricks';

function renamed(options: VolumeNode['options'], nameOf: (name: string) => string): VolumeNode['options'] {
  const names = options.get(leavingOption);
  return names === undefined ? options : new Map(options).set(leavingOption, names.split(',').map(nameOf).join(','));
}
