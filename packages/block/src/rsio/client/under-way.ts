/**
 * What is under way on a path, within the bounds of a connection. A device has no more of it than it leaves: one that does not answer
 * leaves room for the others, and for what concerns none.
 */
import { payloadsMax, requestsMax } from '../bounds.ts';
import type { Request } from './session.ts';

/** Of a device. */
interface Share {
  /** By tag. */
  readonly requests: Map<number, Request>;
  payloads: number;
}

export class UnderWay {
  readonly #shares = new Map<number, Share>();
  #count = 0;
  /** Bytes. */
  #payloads = 0;
  #weight = 0;

  get count(): number {
    return this.#count;
  }

  /** Of all requests. */
  get weight(): number {
    return this.#weight;
  }

  get(device: number, tag: number): Request | undefined {
    return this.#shares.get(device)?.requests.get(tag);
  }

  hasRoomFor({ frame, payload }: Request): boolean {
    if (this.#count === 0) return true;
    const bytes = payload?.length ?? 0;
    const share = this.#shares.get(frame.device);
    const isFull = bytes > 0 && (share?.payloads ?? 0) + bytes > payloadsMax - this.#payloads;
    return !isFull && (share?.requests.size ?? 0) < requestsMax - this.#count;
  }

  add(request: Request): void {
    const { frame, payload, bytes } = request;
    let share = this.#shares.get(frame.device);
    if (!share) {
      share = { requests: new Map(), payloads: 0 };
      this.#shares.set(frame.device, share);
    }
    share.requests.set(frame.tag, request);
    share.payloads += payload?.length ?? 0;
    this.#count++;
    this.#weight += bytes;
    this.#payloads += payload?.length ?? 0;
  }

  drop({ frame, payload, bytes }: Request): void {
    const share = this.#shares.get(frame.device);
    if (!share?.requests.delete(frame.tag)) return;
    this.#count--;
    this.#weight -= bytes;
    this.#payloads -= payload?.length ?? 0;
    share.payloads -= payload?.length ?? 0;
    if (share.requests.size === 0) this.#shares.delete(frame.device);
  }

  /** All of it is not under way any more; of each device in the order in which it was added. */
  takeAll(): readonly Request[] {
    const all = [...this.#shares.values()].flatMap(({ requests }) => [...requests.values()]);
    for (const request of all) this.drop(request);
    return all;
  }
}
