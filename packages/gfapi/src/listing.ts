/** Listings of directories and of what is below them. */
import { type ByteString, type Dirent, FileType } from '@mortar/core';
import type { CallOptions } from './client.ts';
import { entriesOf, typeOf } from './directory.ts';
import { openDirectory } from './opening.ts';
import { type NameEncoding, pathBytes, pathText, type VolumePath } from './paths.ts';
import type { Places } from './places.ts';

export type ReaddirOptions = CallOptions & { encoding?: NameEncoding; withFileTypes?: boolean; recursive?: boolean };

export interface Listed {
  entry: Dirent;
  type: number;
  below: ByteString;
}

/** What is listed, `below` being the way from the top; directories before what they hold. */
export async function* listBelow(
  places: Places,
  path: VolumePath,
  options: ReaddirOptions,
  below: ByteString = '',
): AsyncGenerator<Listed> {
  const at = below === '' ? path : Buffer.from(`${pathBytes(path)}/${below}`, 'latin1');
  const { file } = await openDirectory(places, at, 'scandir', options);
  const folders: ByteString[] = [];
  try {
    for await (const entry of entriesOf(file, 'scandir', pathText(path), options)) {
      const isAsked = options.withFileTypes || options.recursive;
      const type = isAsked ? await typeOf(places.client, places.who, file, entry) : FileType.unknown;
      if (options.recursive && type === FileType.directory) folders.push(entry.name);
      yield { entry, type, below };
    }
  } finally {
    await file.close();
  }
  for (const name of folders) yield* listBelow(places, path, options, below === '' ? name : `${below}/${name}`);
}
