/** The low door of a volume: fops by gfid, replies as values, nothing copied. */
import { byteString, Errno, type Failure, type Fops, fail, type Gfid } from '@mortar/core';
import type { CallOptions, Client, Identity, Opened, Work } from './client.ts';

export class GraphDoor {
  readonly #client: Client;
  readonly #who: Identity;
  /** The directory that the volume's paths begin in. */
  readonly root: Gfid;

  constructor(client: Client, who: Identity, root: Gfid) {
    this.#client = client;
    this.#who = who;
    this.root = root;
  }

  /** The fops of the graph that serves now: for a look. What is under way in them does not hold the graph; `run` does. */
  get ops(): Fops | null {
    return this.#client.files.graphs.current?.top ?? null;
  }

  get inFlight(): number {
    return this.#client.inFlight;
  }

  /** Requests that wait for their turn. */
  get waiting(): number {
    return this.#client.waiting;
  }

  get openFiles(): number {
    return this.#client.open.size;
  }

  /** Any fop, or several, in the graph that serves; the graph is not ended before they are. */
  run<R extends { ok: boolean }>(work: Work<R>, options?: CallOptions): Promise<R | Failure> {
    if (this.#client.isClosing) return Promise.resolve(fail(Errno.ESHUTDOWN));
    return this.#client.run(this.#who, options, work);
  }

  /** An open file that moves with the graph. `flags`: numbers of open(2), without O_CREAT and O_TRUNC. */
  open(gfid: Gfid, flags: number, options?: CallOptions): Promise<Opened | Failure> {
    if (this.#client.isClosing) return Promise.resolve(fail(Errno.ESHUTDOWN));
    return this.#client.openFile(this.#who, gfid, flags, options);
  }

  openDirectory(gfid: Gfid, options?: CallOptions): Promise<Opened | Failure> {
    if (this.#client.isClosing) return Promise.resolve(fail(Errno.ESHUTDOWN));
    return this.#client.openDirectory(this.#who, gfid, options);
  }

  /** A text's bytes, as names in fops have them. */
  nameOf(text: string): string {
    return byteString(text);
  }
}
