import type { Volfile } from '@mortar/core';

/** The volfile of a process that uses one directory of the volume: its clients tell the bricks so. */
export function withSubdirectory(volfile: Volfile, directory: string): Volfile {
  const volumes = volfile.volumes.map((volume) =>
    volume.type === 'protocol/client'
      ? { ...volume, options: new Map(volume.options).set('subdir-mount', directory) }
      : volume,
  );
  return { ...volfile, volumes };
}
