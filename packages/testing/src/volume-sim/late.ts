/** Clients that take new graphs late, each in its own time, and the rebalance that waits for them. */
import { type AwaitedClient, LateClients } from '@mortar/xlators/cluster/distribute/late-clients.ts';
import type { SimBrick } from '../sim/brick.ts';
import type { SeededRandom } from '../sim/random.ts';
import { type Shape, toldOf, type VolumeProcess } from './process.ts';

/** So late a client may hear of a new volfile, at the most. */
const lateMostMs = [200, 3000, 30_000];

/** As glusterd asks them: those that run, at one moment. */
export function lateClients(mover: VolumeProcess, bricks: readonly SimBrick[], shape: Shape): LateClients {
  const { clock, log } = mover.services;
  const told = toldOf(shape);
  const ask = async () => {
    await clock.sleep(1);
    const all = shape.bricks.map((i) => bricks[i]!);
    const up = all.filter(({ isUp }) => isUp);
    const late = up.flatMap((brick) => brick.late(told.placement));
    const unasked = all.filter(({ isUp }) => !isUp).map(({ name }) => name);
    return { late, unasked, isClear: late.length === 0 && up.every((brick) => brick.fence(told)) };
  };
  return new LateClients({ clock, log, name: mover.name, ask });
}

export type { AwaitedClient };

/** Takes each new shape after the one before, when its time has come. Nobody waits for it. */
export class LateSwitches {
  readonly #random: SeededRandom;
  readonly #mostMs: number;
  readonly #last = new Map<VolumeProcess, Promise<void>>();

  constructor(random: SeededRandom) {
    this.#random = random;
    this.#mostMs = random.pick(lateMostMs);
  }

  begin(users: readonly VolumeProcess[], shape: Shape): void {
    for (const user of users) {
      const afterMs = this.#random.between(0, this.#mostMs);
      const take = async (before: Promise<void> | undefined) => {
        await Promise.all([before, user.services.clock.sleep(afterMs)]);
        await user.use(shape);
      };
      this.#last.set(user, take(this.#last.get(user)));
    }
  }
}
