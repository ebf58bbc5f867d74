/** The volumes that the heal daemon of a node heals, as its glusterd wants them. */
import { ManagementError } from '@mortar/rpc';
import type { Host } from '../host.ts';
import type { ManagementLink } from '../management/link.ts';
import { HealVolume, type WantedVolume } from './heal-volume.ts';

/** No answer waits longer for a volume that does not come up, or does not end. */
const answerMs = 10_000;

export interface ServedVolume {
  readonly volume: string;
  /** Why it is not served; null: it is. */
  readonly error: string | null;
}

export class HealVolumes {
  readonly #host: Host;
  readonly #link: ManagementLink;
  readonly #volumes = new Map<string, HealVolume>();
  #isEnding = false;

  constructor(host: Host, link: ManagementLink) {
    this.#host = host;
    this.#link = link;
  }

  /** From now on these and no others; those that are served already go on as they are. */
  async serve(wanted: readonly WantedVolume[]): Promise<ServedVolume[]> {
    if (this.#isEnding) throw new ManagementError('ENDING', 'the heal daemon is ending');
    const byName = new Map(wanted.map((one) => [one.volume, one]));
    const changes: Promise<void>[] = [];
    for (const [name, { wanted: known }] of this.#volumes)
      if (!isSame(byName.get(name), known)) changes.push(this.#letGo(name));
    for (const one of byName.values()) changes.push(this.#take(one));
    await this.#settled(changes);
    return [...byName.keys()].map((volume) => ({ volume, error: this.#problemOf(volume) }));
  }

  #take(one: WantedVolume): Promise<void> {
    const volume = this.#volumes.get(one.volume) ?? new HealVolume(this.#host, this.#link, one);
    this.#volumes.set(one.volume, volume);
    return volume.start();
  }

  #letGo(name: string): Promise<void> {
    const volume = this.#volumes.get(name)!;
    this.#volumes.delete(name);
    return volume.stop();
  }

  #problemOf(name: string): string | null {
    const volume = this.#volumes.get(name);
    return volume ? volume.problem : 'it has been let go of meanwhile';
  }

  #settled(changes: readonly Promise<void>[]): Promise<void> {
    return new Promise((resolve) => {
      const limit = this.#host.services.clock.after(answerMs, resolve);
      void Promise.all(changes).then(() => {
        limit.cancel();
        resolve();
      });
    });
  }

  /** Throws ManagementError for a volume that is not served. */
  of(name: string): HealVolume {
    const volume = this.#volumes.get(name);
    if (volume?.problem === null) return volume;
    const why = volume ? `: ${volume.problem}` : '';
    throw new ManagementError('NO_VOLUME', `the heal daemon does not serve the volume ${name}${why}`);
  }

  get all(): readonly HealVolume[] {
    return [...this.#volumes.values()];
  }

  async stop(): Promise<void> {
    this.#isEnding = true;
    await Promise.all([...this.#volumes.keys()].map((name) => this.#letGo(name)));
  }
}

function isSame(wanted: WantedVolume | undefined, known: WantedVolume): boolean {
  return wanted !== undefined && wanted.id === known.id && wanted.pidFile === known.pidFile;
}
