import type { Clock } from '@mortar/core';
import { AttachError } from './attach-error.ts';

/** A device of this machine that an attached volume has become, whatever made it. */
export interface LocalNode {
  readonly kind: 'nbd' | 'loop' | 'file';
  /** The device, or the file. */
  readonly target: string;
  /** Who uses it, for a person; none: nobody. */
  users(): Promise<readonly string[]>;
  /** The volume has grown. */
  grow(): Promise<void>;
  /**
   * Takes it away; throws AttachError, and all is as before, if it is in use. `force`: its users' requests fail from now on, and
   * what they keep in their hands goes with the last of them.
   */
  remove(force: boolean): Promise<void>;
}

const busyMs = 1000;
const busyStepMs = 100;

/** Throws AttachError if a node is in use, and not just for a moment: whoever looks for new devices opens it shortly. */
export async function checkUnused(node: Pick<LocalNode, 'target' | 'users'>, clock: Clock): Promise<void> {
  for (const untilMs = clock.nowMs() + busyMs; ; await clock.sleep(busyStepMs)) {
    const users = await node.users();
    if (users.length === 0) return;
    if (clock.nowMs() >= untilMs) throw new AttachError(`${node.target} is in use by ${users.join(', ')}`);
  }
}
