/** A device that can be halted: what comes meanwhile waits, what is under way is waited for (online moves, snapshots). */
import type { Answer, BlockDevice, Done, ReadReply, StatusReply, ZeroHow } from './device.ts';
import { PassingDevice } from './passing.ts';

export class PausableDevice extends PassingDevice {
  #underWay = 0;
  #paused = false;
  #waiting: (() => void)[] = [];
  #idle: (() => void)[] = [];

  get isPaused(): boolean {
    return this.#paused;
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Resolves when nothing is under way any more. */
  pause(): Promise<void> {
    this.#paused = true;
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** What waits goes on in the order in which it came. */
  resume(): void {
    this.#paused = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  #run<T>(request: () => Answer<T>): Answer<T> {
    if (this.#paused) return new Promise<void>((go) => this.#waiting.push(go)).then(() => this.#run(request));
    const answer = request();
    if (!(answer instanceof Promise)) return answer;
    this.#underWay++;
    return answer.finally(() => {
      if (--this.#underWay === 0) for (const resolve of this.#idle.splice(0)) resolve();
    });
  }

  override read(offset: number, length: number): Answer<ReadReply> {
    return this.#run(() => this.below.read(offset, length));
  }

  override write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    return this.#run(() => this.below.write(offset, bytes, fua));
  }

  override zero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    return this.#run(() => this.below.zero(offset, length, how));
  }

  override trim(offset: number, length: number, fua: boolean): Answer<Done> {
    return this.#run(() => this.below.trim(offset, length, fua));
  }

  override flush(): Answer<Done> {
    return this.#run(() => this.below.flush());
  }

  override status(offset: number, length: number, extentsMax: number): Answer<StatusReply> {
    return this.#run(() => this.below.status(offset, length, extentsMax));
  }

  override resize(sizeBytes: number): Answer<Done> {
    return this.#run(() => this.below.resize(sizeBytes));
  }
}

export function pausable(device: BlockDevice): PausableDevice {
  return new PausableDevice(device);
}
