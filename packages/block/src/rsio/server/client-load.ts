/**
 * Payloads of a client that are in this server's hands, over all of its connections, also those that have ended: a device that hangs holds
 * what came for it, and who leaves that behind and comes again would bring the same amount each time.
 */
import { payloadsMax } from '../bounds.ts';

export class ClientLoad {
  readonly #connections = new Set<() => void>();
  #bytes = 0;
  /** The most connections at a time. */
  #most = 0;
  #wasFull = false;

  /** It takes no more. A client that keeps to the bounds of its connections never comes here: what it asks again is not held twice. */
  get isFull(): boolean {
    return this.#bytes > (this.#most + 1) * payloadsMax;
  }

  get isIdle(): boolean {
    return this.#bytes === 0 && this.#connections.size === 0;
  }

  /** `breathe`: called when it takes something again. */
  join(breathe: () => void): void {
    this.#connections.add(breathe);
    this.#most = Math.max(this.#most, this.#connections.size);
    this.#changed();
  }

  leave(breathe: () => void): void {
    this.#connections.delete(breathe);
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    this.#wasFull ||= this.isFull;
  }

  drop(bytes: number): void {
    this.#bytes -= bytes;
    this.#changed();
  }

  #changed(): void {
    if (!this.#wasFull || this.isFull) return;
    this.#wasFull = false;
    for (const breathe of this.#connections) breathe();
  }
}
