/** A management client that comes back: for mounts and bricks, which live longer than one run of glusterd. */
import type { Random } from '@mortar/core/ports.ts';
import { Backoff } from '../backoff.ts';
import type { Address, Transport } from '../stream.ts';
import { type CallOptions, ManagementClient, type ManagementClientOptions } from './client.ts';
import { ManagementCode, ManagementError } from './protocol.ts';

export interface ReconnectingOptions extends ManagementClientOptions {
  random: Random;
  /** Tried in turn (backup volfile servers). */
  addresses: readonly Address[];
  /**
   * After each handshake: sign in and fetch what may have changed meanwhile. When it rejects, the connection is given
   * up and tried again.
   */
  onConnect?(client: ManagementClient): Promise<void> | void;
  /** After each loss, and after each failed attempt. */
  onDisconnect?(message: string): void;
}

export class ReconnectingManagementClient {
  readonly #transport: Transport;
  readonly #options: ReconnectingOptions;
  readonly #backoff: Backoff;
  #addresses: readonly Address[];
  readonly #notices: { name: string; handler: (params: unknown) => void }[] = [];
  #client: ManagementClient | null = null;
  #isStopped = false;
  #wake: () => void = () => undefined;

  constructor(transport: Transport, options: ReconnectingOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#addresses = options.addresses;
    this.#backoff = new Backoff(options.random);
  }

  /** Begins to connect, and never stops before `close`. */
  start(): void {
    void this.#run();
  }

  /** Where it is looked for from now on; a connection that is there stays. */
  useAddresses(addresses: readonly Address[]): void {
    this.#addresses = addresses;
  }

  get isConnected(): boolean {
    return this.#client !== null;
  }

  /** Fails at once with DISCONNECTED while there is no connection. */
  async call<R = unknown>(method: string, params?: unknown, options?: CallOptions): Promise<R> {
    if (!this.#client) throw new ManagementError(ManagementCode.disconnected, `${method}: glusterd is not connected`);
    return this.#client.call<R>(method, params, options);
  }

  notify(name: string, params?: unknown): void {
    this.#client?.notify(name, params);
  }

  /** Holds over all connections to come. */
  onNotice(name: string, handler: (params: unknown) => void): void {
    this.#notices.push({ name, handler });
    this.#client?.onNotice(name, handler);
  }

  close(): void {
    this.#isStopped = true;
    this.#client?.close();
    this.#wake();
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#isStopped; attempt++) {
      const address = this.#addresses[attempt % this.#addresses.length]!;
      try {
        await this.#serve(address);
      } catch (error) {
        this.#options.onDisconnect?.((error as Error).message);
      }
      if (!this.#isStopped) await this.#pause(this.#backoff.next());
    }
  }

  /** Returns when the connection is over. */
  async #serve(address: Address): Promise<void> {
    const client = await ManagementClient.connect(this.#transport, address, this.#options);
    if (this.#isStopped) return client.close();
    for (const { name, handler } of this.#notices) client.onNotice(name, handler);
    this.#client = client;
    try {
      await this.#options.onConnect?.(client);
      this.#backoff.reset();
    } catch (error) {
      client.close();
      throw error;
    } finally {
      void client.closed.then(() => {
        this.#client = null;
      });
    }
    const reason = await client.closed;
    this.#client = null;
    this.#options.onDisconnect?.(reason.message);
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#options.clock.after(ms, resolve);
    });
  }
}
