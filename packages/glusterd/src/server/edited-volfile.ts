/** Volfiles that somebody changed by hand (docs/management.md). */
import { ManagementError } from '@mortar/rpc';
import type { Context } from '../context.ts';

const editedMaxLength = 1024 * 1024;

/** A volfile counts as it is in its file: an administrator may have put a translator in, or taken an option out. */
export async function asEdited(context: Context, id: string, trusted: boolean, made: string): Promise<string> {
  const file = context.volfiles.fileOf(id, trusted);
  const edited = file === null ? null : await context.store.editedVolfile(file);
  if (edited === null) return made;
  if (edited.length > editedMaxLength)
    throw new ManagementError('EVOLGEN', `${file} was edited by hand and is longer than ${editedMaxLength} characters`);
  context.log.write('INFO', 'management', `${id} gets ${file} as it was edited by hand`);
  return edited;
}
