/** `volume top`: the files that bricks are busiest with. */
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ReplyData, TopBrickData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { askBricks } from './ask-bricks.ts';
import { brickNamed } from './named-brick.ts';
import { volumeNamed } from './volumes.ts';

const defaultCount = 100;
/** What a disk is written with to measure it. */
const measureBytesMax = 1 << 30;

const top = z.object({
  openNow: z.number(),
  openMax: z.number(),
  openMaxTime: z.string(),
  members: z.array(z.object({ name: z.string(), value: z.number(), time: z.string().optional() })),
  cleared: z.boolean().optional(),
  measured: z.object({ megabytesPerSecond: z.number(), seconds: z.number() }).optional(),
});

export async function volumeTop(context: Context, request: RequestOf<'volume.top'>): Promise<ReplyData['volume.top']> {
  const volume = volumeNamed(context, request.volume);
  if (volume.status !== 'started') throw new OperationError(`Volume ${volume.name} is not started.`);
  const { operation, brick, count, measure } = request;
  if (measure && measure.blockSize * measure.blocks > measureBytesMax)
    throw new OperationError(`block size times count is more than ${measureBytesMax} bytes`);
  const named = brick === undefined ? undefined : await brickNamed(context, volume, brick);
  if (brick !== undefined && !named) throw new OperationError(`Brick ${brick} is not part of volume ${volume.name}`);
  const params = { operation, count: count || defaultCount, ...(measure && { measure }) };
  const answers = await askBricks(context, volume, 'brick.top', params, top, named ? [named] : volume.bricks);
  return { bricks: answers.map(({ name, answer }) => ({ name, ...answer }) as TopBrickData) };
}
