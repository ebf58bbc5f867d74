/** `volume barrier`: holds back the acknowledgements of what a snapshot must not tear apart. */
import { parseBool } from '@mortar/core';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { execute } from '../transaction/operation.ts';
import { refreshBricks } from './ask-bricks.ts';
import { setByCommand } from './options.ts';
import { volumeNamed } from './volumes.ts';

const key = 'features.barrier';

export async function volumeBarrier(
  context: Context,
  { volume: name, state }: RequestOf<'volume.barrier'>,
): Promise<ReplyData['volume.barrier']> {
  const wanted = parseBool(state);
  const change = setByCommand('volume barrier', name, [{ key, value: state }], (volume) => {
    if (volume.status !== 'started') throw new OperationError(`Volume ${name} is not started`);
    const present = parseBool(volume.options[key] ?? 'off');
    if (wanted === undefined || wanted === present) throw new OperationError('Failed to reconfigure barrier.');
  });
  await execute(context, change);
  await refreshBricks(context, volumeNamed(context, name));
  return {};
}
