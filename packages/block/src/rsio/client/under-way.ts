/**
 * What is under way on a path, within the bounds of a connection. A device has no more of it than it leaves: one that does not answer
 * leaves room for the others, and for what concerns none.
 */
import { payloadsMax, requestsMax } from '../bounds.ts';
import type { Request } from './session.ts';

interface Share {
  requests: number;
  payloads: number;
}

export class UnderWay {
  readonly #requests = new Map<number, Request>();
  readonly #shares = new Map<number, Share>();
  /** Bytes. */
  #payloads = 0;
  #weight = 0;

  get count(): number {
    return this.#requests.size;
  }

  /** Of all requests. */
  get weight(): number {
    return this.#weight;
  }

  get(tag: number): Request | undefined {
    return this.#requests.get(tag);
  }

  hasRoomFor({ frame, payload }: Request): boolean {
    if (this.#requests.size === 0) return true;
    const bytes = payload?.length ?? 0;
    const share = this.#shares.get(frame.device) ?? { requests: 0, payloads: 0 };
    const isFull = bytes > 0 && share.payloads + bytes > payloadsMax - this.#payloads;
    return !isFull && share.requests < requestsMax - this.#requests.size;
  }

  add(request: Request): void {
    const { frame, payload, bytes } = request;
    const share = this.#shares.get(frame.device) ?? { requests: 0, payloads: 0 };
    this.#shares.set(frame.device, share);
    this.#requests.set(frame.tag, request);
    this.#weight += bytes;
    this.#payloads += payload?.length ?? 0;
    share.payloads += payload?.length ?? 0;
    share.requests++;
  }

  drop({ frame, payload, bytes }: Request): void {
    if (!this.#requests.delete(frame.tag)) return;
    const share = this.#shares.get(frame.device)!;
    this.#weight -= bytes;
    this.#payloads -= payload?.length ?? 0;
    share.payloads -= payload?.length ?? 0;
    share.requests--;
    if (share.requests === 0) this.#shares.delete(frame.device);
  }

  /** All of it is not under way any more. */
  takeAll(): readonly Request[] {
    const all = [...this.#requests.values()];
    for (const request of all) this.drop(request);
    return all;
  }
}
