/** What bricks and mounts ask of glusterd, answered by a test. */
import { type ManagementCaller, ManagementError, ManagementServer } from '@mortar/rpc';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { z } from 'zod';

export interface SignedIn {
  brick: string;
  port: number;
  pid: number;
  socketPath: string;
}

export class FakeGlusterd {
  readonly volfiles = new Map<string, string>();
  readonly signedIn = new Map<string, SignedIn>();
  readonly #server: ManagementServer;
  #port = 0;

  constructor() {
    this.#server = new ManagementServer({ clock: nodeClock });
    const signIn = z.object({ brick: z.string(), port: z.number(), pid: z.number(), socketPath: z.string() });
    this.#server
      .method('volfile.get', z.object({ id: z.string() }), ({ id }) => {
        const text = this.volfiles.get(id);
        if (text === undefined) throw new ManagementError('NO_VOLUME', `Volume ${id} does not exist`);
        return { text };
      })
      .method('portmap.signin', signIn, (entry) => void this.signedIn.set(entry.brick, entry))
      .method('portmap.signout', z.looseObject({ brick: z.string() }), ({ brick }) => void this.signedIn.delete(brick))
      .method('portmap.brickPort', z.object({ brick: z.string() }), ({ brick }) => {
        const entry = this.signedIn.get(brick);
        return { port: entry?.port ?? 0, socketPath: entry?.socketPath ?? '', online: entry !== undefined };
      });
  }

  get port(): number {
    return this.#port;
  }

  get callers(): readonly ManagementCaller[] {
    return this.#server.callers();
  }

  /** `port` 0: a free one. */
  async listen(port = 0): Promise<void> {
    const { address } = await this.#server.listen(tcpTransport(), { kind: 'tcp', host: '127.0.0.1', port });
    this.#port = address.kind === 'tcp' ? address.port : 0;
  }

  /** Gives a volfile and tells those who have it. */
  publish(id: string, text: string): void {
    this.volfiles.set(id, text);
    this.#server.notifyAll('volfile.changed', { id });
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}
