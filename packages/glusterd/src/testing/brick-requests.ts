/** Requests that add bricks to the volume `v` of a rig and take them away. */
import type { RequestOf } from '../protocol/requests.ts';
import type { Rig } from './rig.ts';

type AddBrick = RequestOf<'volume.add-brick'>;
type RemoveBrick = RequestOf<'volume.remove-brick'>;

export function addRequest(rig: Rig, names: readonly string[], more: Partial<AddBrick> = {}): AddBrick {
  const bricks = names.map((name) => rig.brick(name));
  return { verb: 'volume.add-brick', volume: 'v', arbiter: 0, bricks, force: true, ignorePartition: false, ...more };
}

export function removeRequest(rig: Rig, names: readonly string[], more: Partial<RemoveBrick> = {}): RemoveBrick {
  const bricks = names.map((name) => rig.brick(name));
  return { verb: 'volume.remove-brick', volume: 'v', bricks, action: 'force', ...more };
}
