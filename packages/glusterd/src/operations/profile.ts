/** `volume profile`: the statistics of bricks are switched on and off by two options and asked of the bricks. */
import { parseBool } from '@mortar/core';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { ProfileBrickData, ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { execute } from '../transaction/operation.ts';
import type { VolumeInfo } from '../volume.ts';
import { askBricks, refreshBricks } from './ask-bricks.ts';
import { setByCommand, unsetByCommand } from './options.ts';
import { volumeNamed } from './volumes.ts';

type ProfileRequest = RequestOf<'volume.profile'>;

const keys = ['diagnostics.count-fop-hits', 'diagnostics.latency-measurement'] as const;

const section = z.object({
  durationSeconds: z.number(),
  bytesRead: z.number(),
  bytesWritten: z.number(),
  blocks: z.array(z.object({ size: z.number(), reads: z.number(), writes: z.number() })),
  fops: z.array(
    z.object({
      fop: z.string(),
      hits: z.number(),
      avgMicros: z.number(),
      minMicros: z.number(),
      maxMicros: z.number(),
    }),
  ),
});
const profile = z.object({
  cumulative: section.optional(),
  interval: section.extend({ number: z.number() }).optional(),
  cleared: z.boolean().optional(),
});

/** Whether the bricks of a volume measure what they do. */
export function isProfiled({ options }: VolumeInfo): boolean {
  return keys.every((key) => parseBool(options[key] ?? 'off') === true);
}

export async function volumeProfile(context: Context, request: ProfileRequest): Promise<ReplyData['volume.profile']> {
  if (request.operation === 'info') return { bricks: await info(context, request) };
  const name = `volume profile ${request.operation}`;
  const starts = request.operation === 'start';
  const check = (volume: VolumeInfo) => {
    if (starts && isProfiled(volume))
      throw new OperationError(`Profile on Volume ${volume.name} is already started`, { errno: 30805 });
    if (!starts) mustBeProfiled(volume);
  };
  const change = starts
    ? setByCommand(
        name,
        request.volume,
        [...keys].reverse().map((key) => ({ key, value: 'on' })),
        check,
      )
    : unsetByCommand(name, request.volume, keys, check);
  await execute(context, change);
  // Whoever reads the statistics next expects them to have begun.
  await refreshBricks(context, volumeNamed(context, request.volume));
  return { bricks: [] };
}

function mustBeProfiled(volume: VolumeInfo): void {
  if (!isProfiled(volume)) throw new OperationError(`Profile on Volume ${volume.name} is not started`);
}

async function info(context: Context, request: ProfileRequest): Promise<ProfileBrickData[]> {
  const volume = volumeNamed(context, request.volume);
  mustBeProfiled(volume);
  if (volume.status !== 'started') throw new OperationError(`Volume ${volume.name} is not started.`);
  const { what = 'all', peek = false } = request;
  const answers = await askBricks(context, volume, 'brick.profile', { what, peek }, profile);
  return answers.map(({ name, answer }) => ({ name, ...answer }) as ProfileBrickData);
}
