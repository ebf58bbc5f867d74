/** Tells webhooks what happens, in the form of GlusterFS's eventsd (docs/events.md). Never in the way of what it tells of. */
import type { Clock, Log, Timer } from '@mortar/core/ports.ts';
import type { Webhook } from '../store/documents.ts';
import type { EventName } from './names.ts';

/** Sends one JSON document; resolves to the HTTP status. Rejects when nobody answers in time. */
export type Post = (
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
) => Promise<number>;

export interface GlusterEvent {
  nodeid: string;
  /** Wall-clock seconds. */
  ts: number;
  event: EventName | 'TEST';
  message: Readonly<Record<string, string | number>>;
}

const queueMost = 1000;
const attemptsMost = 4;
const answerMs = 10_000;
const firstPauseMs = 1000;

interface Queue {
  readonly events: GlusterEvent[];
  isRunning: boolean;
  dropped: number;
}

export interface SenderPorts {
  clock: Clock;
  log: Log;
  post: Post;
  node(): string;
  webhooks(): readonly Webhook[];
}

export class EventSender {
  readonly #ports: SenderPorts;
  readonly #queues = new Map<string, Queue>();
  readonly #pauses = new Set<{ timer: Timer; wake: () => void }>();
  #isClosed = false;

  constructor(ports: SenderPorts) {
    this.#ports = ports;
  }

  emit(event: EventName, message: GlusterEvent['message']): void {
    if (this.#isClosed) return;
    const webhooks = this.#ports.webhooks();
    for (const url of this.#queues.keys()) if (!webhooks.some((one) => one.url === url)) this.#queues.delete(url);
    for (const { url } of webhooks) this.#put(url, this.#made(event, message));
  }

  /** One try, now: what became of it. */
  async test({ url, token }: Webhook): Promise<string> {
    try {
      const status = await this.#send(url, token, this.#made('TEST', {}));
      return isTaken(status) ? 'OK' : `NOT OK: HTTP status ${status}`;
    } catch (error) {
      return `NOT OK: ${(error as Error).message}`;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer, wake } of this.#pauses) {
      timer.cancel();
      wake();
    }
    this.#queues.clear();
  }

  #made(event: GlusterEvent['event'], message: GlusterEvent['message']): GlusterEvent {
    return { nodeid: this.#ports.node(), ts: this.#ports.clock.wall().sec, event, message };
  }

  #put(url: string, event: GlusterEvent): void {
    let queue = this.#queues.get(url);
    if (!queue) {
      queue = { events: [], isRunning: false, dropped: 0 };
      this.#queues.set(url, queue);
    }
    queue.events.push(event);
    // The newest say most about how things are.
    if (queue.events.length > queueMost) {
      queue.events.shift();
      if (queue.dropped++ === 0) this.#warn(url, 'does not keep up: the oldest events are dropped');
    }
    if (!queue.isRunning) void this.#drain(url, queue);
  }

  /** In order, one at a time. */
  async #drain(url: string, queue: Queue): Promise<void> {
    queue.isRunning = true;
    while (!this.#isClosed && this.#queues.get(url) === queue) {
      const event = queue.events.shift();
      if (!event) break;
      await this.#deliver(url, queue, event);
    }
    queue.isRunning = false;
  }

  async #deliver(url: string, queue: Queue, event: GlusterEvent): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      // It may have been removed, or have another token by now.
      const webhook = this.#ports.webhooks().find((one) => one.url === url);
      if (!webhook || this.#isClosed) return;
      let problem: string;
      try {
        const status = await this.#send(url, webhook.token, event);
        if (isTaken(status)) {
          if (queue.dropped > 0) this.#warn(url, `answers again; ${queue.dropped} events were dropped`);
          queue.dropped = 0;
          return;
        }
        problem = `HTTP status ${status}`;
      } catch (error) {
        problem = (error as Error).message;
      }
      if (attempt === attemptsMost) return this.#warn(url, `${event.event} is given up: ${problem}`);
      await this.#pause(firstPauseMs * 2 ** (attempt - 1));
    }
  }

  #send(url: string, token: string | undefined, event: GlusterEvent): Promise<number> {
    const headers = {
      'Content-Type': 'application/json',
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    };
    return this.#ports.post(url, JSON.stringify(event), headers, answerMs);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const pause = {
        wake: resolve,
        timer: this.#ports.clock.after(ms, () => {
          this.#pauses.delete(pause);
          resolve();
        }),
      };
      this.#pauses.add(pause);
    });
  }

  #warn(url: string, text: string): void {
    this.#ports.log.write('WARNING', 'events', `webhook ${withoutSecrets(url)}: ${text}`);
  }
}

function isTaken(status: number): boolean {
  return status >= 200 && status < 300;
}

/** User and password of a URL, and its query, are nobody's business. */
export function withoutSecrets(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
