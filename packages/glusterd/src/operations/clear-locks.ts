/** `volume clear-locks`: every brick takes away the locks on one of its files that are described. */
import { Errno } from '@mortar/core/errno.ts';
import { z } from 'zod';
import { errnoText } from '../brick-inspector.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { askBricks } from './ask-bricks.ts';
import { volumeNamed } from './volumes.ts';

const answer = z.union([z.object({ text: z.string() }), z.object({ errno: z.int() })]);
/** What the locks translator says when there was nothing to clear. */
const nothing = /blocked locks=0 granted locks=0$/;

export async function clearLocks(
  context: Context,
  request: RequestOf<'volume.clear-locks'>,
): Promise<ReplyData['volume.clear-locks']> {
  const volume = volumeNamed(context, request.volume);
  if (volume.status !== 'started') throw new OperationError(`Volume ${volume.name} is not started`);
  const { path, type, kind, detail } = request;
  const name = `glusterfs.clrlk.t${type}.k${kind}${detail === undefined ? '' : `.${detail}`}`;
  const answers = await askBricks(context, volume, 'brick.clearLocks', { path, name }, answer);
  const lines = answers.flatMap((one) => ('text' in one.answer ? [lineOf(one.name, path, one.answer.text)] : []));
  // With distribution a file is on some of the bricks only.
  if (lines.length === 0) {
    const failed = answers.flatMap((one) => ('errno' in one.answer ? [one.answer.errno] : []))[0] ?? Errno.ENOTCONN;
    throw new OperationError(`clear-locks getxattr command failed. Reason: ${errnoText(failed)}`);
  }
  return { lines };
}

/** The translator begins with its own name; people look for the brick and the file. */
function lineOf(brick: string, path: string, text: string): string {
  return nothing.test(text) ? 'No locks cleared.' : text.replace(/^[^:]*: /, () => `${brick}${path}: `);
}
