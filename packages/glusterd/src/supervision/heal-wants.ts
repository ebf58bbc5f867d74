/** Which volumes the heal daemon of a node is for. */
import { isHealable } from '../volgen/index.ts';
import type { VolumeInfo } from '../volume.ts';

/** Whether the daemon of this node has the volume: also where it is not to heal by itself, since it answers `heal info`. */
export function isServedOn(node: string, volume: VolumeInfo): boolean {
  return volume.status === 'started' && isHealable(volume) && volume.bricks.some((brick) => brick.hostUuid === node);
}

/** Whether a volume's option leaves healing on. */
export function needsHealDaemon(volume: VolumeInfo): boolean {
  if (!isHealable(volume)) return false;
  const key = volume.type === 'disperse' ? 'cluster.disperse-self-heal-daemon' : 'cluster.self-heal-daemon';
  return !isOff(volume.options[key]);
}

function isOff(value: string | undefined): boolean {
  return value !== undefined && /^(off|no|false|disable|0)$/i.test(value);
}
