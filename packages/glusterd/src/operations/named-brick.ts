/** Which brick of a volume a person means. */
import type { Context } from '../context.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { brickName } from './volumes.ts';

export const hostNameMax = 255;

/** By the name that it was made with, or by any other name or address of its node; undefined if the volume has none such. */
export async function brickNamed(
  { hostBook, store }: Context,
  { bricks }: VolumeInfo,
  text: string,
): Promise<BrickInfo | undefined> {
  const found = bricks.find((brick) => brickName(brick) === text);
  if (found) return found;
  const colon = text.lastIndexOf(':');
  const [host, path] = [text.slice(0, colon), text.slice(colon + 1)];
  const atPath = bricks.filter((brick) => brick.path === path);
  // What no node could change by its names is not looked up.
  if (colon <= 0 || host.length > hostNameMax || atPath.length === 0) return undefined;
  const node = await hostBook.nodeOf(host, store.state);
  return atPath.find((brick) => brick.hostUuid === node);
}
