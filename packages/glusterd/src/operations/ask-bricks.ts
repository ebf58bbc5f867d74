/** Questions to the bricks of a volume. Those that do not run are passed over; those that do not answer are logged. */
import { z } from 'zod';
import type { Context } from '../context.ts';
import { siteCalls } from '../pool/site-calls.ts';
import { gather, onSite } from '../pool/sites.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName, localBricks } from './volumes.ts';

export interface BrickAnswer<T> {
  /** `HOST:/path` */
  name: string;
  answer: T;
}

export async function askBricks<S extends z.ZodType>(
  context: Context,
  volume: VolumeInfo,
  method: string,
  params: unknown,
  schema: S,
  bricks: readonly BrickInfo[] = volume.bricks,
): Promise<BrickAnswer<z.infer<S>>[]> {
  const asked = { method, params, schema };
  const ask = async (brick: BrickInfo): Promise<BrickAnswer<z.infer<S>>[]> => {
    const { online } = await context.supervisor.brickState(volume, brick);
    if (!online) return [];
    try {
      const answer = schema.parse(await context.supervisor.askBrick(volume, brick, method, params));
      return [{ name: brickName(brick), answer }];
    } catch (error) {
      context.log.write('WARNING', 'management', `${method} of ${brickName(brick)}: ${(error as Error).message}`);
      return [];
    }
  };
  const own = await Promise.all(
    localBricks(context, volume)
      .filter((brick) => bricks.includes(brick))
      .map(ask),
  );
  const elsewhere = await gather(context, bricks, (node, theirs) => askNode(context, volume, node, theirs, asked));
  const answers = new Map([...own.flat(), ...elsewhere.flat()].map((one) => [one.name, one]));
  return bricks.flatMap((brick) => answers.get(brickName(brick)) ?? []);
}

interface Asked<S> {
  method: string;
  params: unknown;
  schema: S;
}

async function askNode<S extends z.ZodType>(
  context: Context,
  volume: VolumeInfo,
  node: string,
  bricks: readonly BrickInfo[],
  { method, params, schema }: Asked<S>,
): Promise<BrickAnswer<z.infer<S>>[]> {
  const ids = bricks.map((brick) => brick.brickId);
  const call = siteCalls.askBricks.params.parse({ volume: volume.name, bricks: ids, method, params });
  const { answers } = await onSite(context, node, 'askBricks', call);
  return answers.flatMap(({ brick: id, answer }) => {
    const brick = bricks.find((one) => one.brickId === id);
    const parsed = schema.safeParse(answer);
    return brick && parsed.success ? [{ name: brickName(brick), answer: parsed.data }] : [];
  });
}

/** Resolves when every running brick works by the volume's present options. */
export async function refreshBricks(context: Context, volume: VolumeInfo): Promise<void> {
  if (volume.status !== 'started') return;
  await askBricks(context, volume, 'graph.refresh', {}, anyAnswer);
}

const anyAnswer = z.unknown();
