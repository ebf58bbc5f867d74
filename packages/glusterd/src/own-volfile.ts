/** glusterd's own volfile, `-f FILE`: the options of its one volume, of type mgmt/glusterd, as GlusterFS's glusterd.vol has them. */
import { readFileSync } from 'node:fs';
import { VolfileError } from '@mortar/core/volfile/error.ts';
import { parseVolfile } from '@mortar/core/volfile/parse.ts';
import { UsageError } from '@mortar/host/arguments/getopt.ts';

const type = 'mgmt/glusterd';

/** Throws UsageError where there is none to be read. */
export function ownVolfile(path: string): ReadonlyMap<string, string> {
  try {
    const { volumes } = parseVolfile(readFileSync(path, 'utf8'), path);
    const last = volumes.at(-1);
    if (last?.type === type) return last.options;
    throw new UsageError(`${path}: the last volume is to be of type ${type}${last ? `, not ${last.type}` : ''}`);
  } catch (error) {
    if (error instanceof VolfileError || (error as NodeJS.ErrnoException).code !== undefined)
      throw new UsageError((error as Error).message);
    throw error;
  }
}
