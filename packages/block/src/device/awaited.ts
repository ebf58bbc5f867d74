/** A device that is not there yet: what is asked waits for it, as long as that may take, and fails with EIO from then on. */
import { type Clock, Errno, type Timer } from '@mortar/core';
import {
  type Answer,
  type BlockDevice,
  type Done,
  type ReadReply,
  refuse,
  type StatusReply,
  type Traits,
  type ZeroHow,
} from './device.ts';
import { GuardedDevice } from './guarded.ts';

interface Waiting {
  readonly timer: Timer;
  readonly go: () => void;
}

export interface AwaitedOptions {
  /** As it was when it was there last. */
  readonly sizeBytes: number;
  readonly traits: Traits;
  readonly clock: Clock;
  /** How long it is waited for. */
  readonly waitMs: number;
}

export class AwaitedDevice extends GuardedDevice {
  readonly #options: AwaitedOptions;
  readonly #waiting = new Set<Waiting>();
  readonly #untilMs: number;
  #device: BlockDevice | null = null;

  constructor(options: AwaitedOptions) {
    super();
    this.#options = options;
    this.#untilMs = options.clock.nowMs() + options.waitMs;
  }

  get sizeBytes(): number {
    return this.#device?.sizeBytes ?? this.#options.sizeBytes;
  }

  get traits(): Traits {
    return this.#device?.traits ?? this.#options.traits;
  }

  /** It is there: what waits goes on. */
  come(device: BlockDevice): void {
    this.#device = device;
    for (const { timer, go } of [...this.#waiting]) {
      timer.cancel();
      go();
    }
  }

  #when<T extends { readonly ok: boolean }>(ask: (device: BlockDevice) => Answer<T>): Answer<T> {
    if (this.#device) return ask(this.#device);
    const { clock } = this.#options;
    const leftMs = this.#untilMs - clock.nowMs();
    if (leftMs <= 0) return refuse(Errno.EIO) as unknown as T;
    return new Promise<T>((resolve) => {
      const waiting: Waiting = {
        timer: clock.after(leftMs, () => {
          this.#waiting.delete(waiting);
          resolve(refuse(Errno.EIO) as unknown as T);
        }),
        go: () => {
          this.#waiting.delete(waiting);
          resolve(ask(this.#device!));
        },
      };
      this.#waiting.add(waiting);
    });
  }

  protected doRead(offset: number, length: number): Answer<ReadReply> {
    return this.#when((device) => device.read(offset, length));
  }

  protected doWrite(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    return this.#when((device) => device.write(offset, bytes, fua));
  }

  protected doZero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    return this.#when((device) => device.zero(offset, length, how));
  }

  protected doTrim(offset: number, length: number, fua: boolean): Answer<Done> {
    return this.#when((device) => device.trim(offset, length, fua));
  }

  protected doFlush(): Answer<Done> {
    return this.#when((device) => device.flush());
  }

  protected doStatus(offset: number, length: number, extentsMax: number): Answer<StatusReply> {
    return this.#when((device) => device.status(offset, length, extentsMax));
  }

  protected override doCache(offset: number, length: number): Answer<Done> {
    return this.#when((device) => device.cache(offset, length));
  }

  protected override doResize(sizeBytes: number): Answer<Done> {
    return this.#when((device) => device.resize(sizeBytes));
  }

  override async close(): Promise<void> {
    await this.#device?.close();
  }
}
