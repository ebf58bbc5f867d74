/**
 * A process's standing connection to glusterd. It is kept up over restarts of glusterd and moved to the next server when
 * one is gone; nothing in the service of files waits for it.
 */
import type { Clock, Log, Random } from '@mortar/core';
import { type Address, type CallOptions, ManagementClient, printableAddress, type Transport } from '@mortar/rpc';

export interface LinkOptions {
  transport: Transport;
  /** In the order to be tried. */
  servers: readonly Address[];
  program: string;
  clientId: string;
  clock: Clock;
  random: Random;
  log: Log;
}

interface NoticeHandler {
  readonly name: string;
  readonly handler: (params: unknown) => void;
  /** On the present connection. */
  end: (() => void) | undefined;
}

const firstRetryMs = 250;
const lastRetryMs = 4000;

export class ManagementLink {
  readonly #options: LinkOptions;
  /** In the order to be tried: those that were given, then those that a server named. */
  #servers: readonly Address[];
  readonly #noticeHandlers = new Set<NoticeHandler>();
  readonly #connectHandlers = new Set<() => void>();
  #client: ManagementClient | undefined;
  #connecting: Promise<ManagementClient> | undefined;
  #server = 0;
  #kept = false;
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(options: LinkOptions) {
    if (options.servers.length === 0) throw new Error('no server is named');
    this.#options = options;
    this.#servers = options.servers;
  }

  get isUp(): boolean {
    return this.#client?.isOpen === true;
  }

  /** The server in use, for messages. */
  get serverName(): string {
    return printableAddress(this.#servers[this.#server]!);
  }

  /** All that would be tried. */
  get serverNames(): readonly string[] {
    return this.#servers.map(printableAddress);
  }

  /** Calls over the present connection, else tries each server once. Rejects with the last server's error. */
  async call<R = unknown>(method: string, params?: unknown, options?: CallOptions): Promise<R> {
    const client = await this.#connected();
    return client.call<R>(method, params, options);
  }

  /** Others that serve the same, in place of those named before; tried after the ones that were given. */
  learn(others: readonly Address[]): void {
    const current = this.#servers[this.#server]!;
    const known = new Map([...this.#options.servers, ...others].map((one) => [printableAddress(one), one]));
    const at = [...known.keys()].indexOf(printableAddress(current));
    // The one in use stays, though nobody names it any more.
    this.#servers = at < 0 ? [...known.values(), current] : [...known.values()];
    this.#server = at < 0 ? known.size : at;
  }

  /** Hears a notice from whichever server is connected. The result ends it. */
  onNotice(name: string, handler: (params: unknown) => void): () => void {
    const own: NoticeHandler = { name, handler, end: this.#client?.onNotice(name, handler) };
    this.#noticeHandlers.add(own);
    return () => {
      this.#noticeHandlers.delete(own);
      own.end?.();
    };
  }

  /** Runs after every connection but the one in use now. The result ends it. */
  onConnect(handler: () => void): () => void {
    this.#connectHandlers.add(handler);
    return () => this.#connectHandlers.delete(handler);
  }

  /** From now on a broken connection is made again, without end. */
  keep(): void {
    if (this.#kept) return;
    this.#kept = true;
    void this.#stayConnected();
  }

  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#wake();
  }

  async #stayConnected(): Promise<void> {
    const { random, log } = this.#options;
    for (let waitMs = firstRetryMs; !this.#closed; ) {
      try {
        const client = await this.#connected();
        waitMs = firstRetryMs;
        const reason = await client.closed;
        if (!this.#closed) log.write('INFO', 'glusterd', `disconnected from ${this.serverName}: ${reason.message}`);
      } catch (error) {
        log.write('DEBUG', 'glusterd', `no server can be reached: ${(error as Error).message}`);
      }
      if (this.#closed) return;
      // Clients of a server that went down shall not all come back in the same moment.
      await this.#pause(waitMs + random.integer(waitMs));
      waitMs = Math.min(waitMs * 2, lastRetryMs);
    }
  }

  /** Until the time has passed or the link is closed: no timer may then hold up the end of the process. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(ms, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #connected(): Promise<ManagementClient> {
    if (this.#client?.isOpen) return Promise.resolve(this.#client);
    this.#connecting ??= this.#connectAny().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connectAny(): Promise<ManagementClient> {
    const servers = this.#servers;
    let last: unknown;
    for (let attempt = 0; attempt < servers.length; attempt++) {
      try {
        return await this.#connect(this.#servers[this.#server]!);
      } catch (error) {
        last = error;
        this.#server = (this.#server + 1) % this.#servers.length;
      }
    }
    throw last;
  }

  async #connect(server: Address): Promise<ManagementClient> {
    const { transport, program, clientId, clock, log } = this.#options;
    const client = await ManagementClient.connect(transport, server, { clock, log, program, clientId });
    if (this.#closed) {
      client.close();
      throw new Error('the process is ending');
    }
    for (const own of this.#noticeHandlers) own.end = client.onNotice(own.name, own.handler);
    this.#client = client;
    for (const handler of this.#connectHandlers) handler();
    return client;
  }
}
