import { type Address, ManagementError } from '@mortar/rpc';
import { type VolfileSource, VolfileSourceError, type VolfileText } from '../volfile/source.ts';
import type { ManagementLink } from './link.ts';

const fetchTimeoutMs = 30_000;
/** Of other servers that are named, so many are kept. */
const serversMax = 64;
const hostNameMax = 255;

/**
 * A volfile by id from glusterd: `volfile.get {id}` answers `{text}`, to clients also `{servers}` (the other nodes of the pool, who have it, too), and makes this connection one that hears
 * `volfile.changed {id}`, and `brick.started {volume}`.
 */
export class ManagementVolfileSource implements VolfileSource {
  readonly #link: ManagementLink;
  readonly #id: string;
  readonly #addressOf: ((host: string) => Address) | undefined;
  #changed: (() => void) | undefined;
  /** Of the first volfile: a volume made anew under the name is another one. */
  #volumeId: string | undefined;
  /** The version of the last one that was taken, and who told it. */
  #taken: { readonly version: number; readonly server: string } | undefined;
  /** A notice came before anybody watched: the fetch under way may have had the text from before. */
  #missed = false;
  readonly #startedHandlers = new Set<() => void>();
  readonly #unhear: readonly (() => void)[];

  /**
   * `addressOf`: where another server listens, by its host's name; without it only the servers that were given are used. `volume`: whose bricks
   * count, where the connection serves other volumes as well.
   */
  constructor(link: ManagementLink, id: string, addressOf?: (host: string) => Address, volume?: string) {
    this.#link = link;
    this.#addressOf = addressOf;
    this.#id = id;
    this.#unhear = [
      link.onNotice('volfile.changed', (params) => {
        const changedId = (params as { id?: unknown } | null | undefined)?.id;
        if (changedId !== undefined && changedId !== id) return;
        if (this.#changed) this.#changed();
        else this.#missed = true;
      }),
      link.onNotice('brick.started', (params) => {
        const started = (params as { volume?: unknown } | null | undefined)?.volume;
        if (volume !== undefined && started !== undefined && started !== volume) return;
        for (const handler of this.#startedHandlers) handler();
      }),
    ];
  }

  /** Nothing is heard any more, and the server is told so; the connection goes on. */
  async close(): Promise<void> {
    for (const end of this.#unhear) end();
    // A server that is away, or older, forgets it with the connection.
    if (this.#link.isUp)
      await this.#link.call('volfile.unwatch', { id: this.#id }, { timeoutMs: fetchTimeoutMs }).catch(() => undefined);
  }

  async fetch(): Promise<VolfileText> {
    try {
      const answer = await this.#link.call<unknown>('volfile.get', { id: this.#id }, { timeoutMs: fetchTimeoutMs });
      const text = (answer as { text?: unknown } | null)?.text;
      if (typeof text !== 'string') throw new Error('the answer has no text');
      this.#learn((answer as { servers?: unknown }).servers);
      const volumeId = this.#sameVolume((answer as { volumeId?: unknown }).volumeId);
      const volumeVersion = this.#noOlder((answer as { volumeVersion?: unknown }).volumeVersion);
      return {
        text,
        name: `${this.#id}@${this.#link.serverName}`,
        ...(volumeId !== undefined && { volumeId }),
        ...(volumeVersion !== undefined && { volumeVersion }),
      };
    } catch (error) {
      if (error instanceof VolfileSourceError) throw error;
      const { message } = error as Error;
      const refused = error instanceof ManagementError && error.code !== 'DISCONNECTED' && error.code !== 'TIMEOUT';
      const text = refused
        ? `${this.#link.serverName} has no volfile '${this.#id}' for this process`
        : 'no volfile server';
      throw new VolfileSourceError(`failed to fetch the volume file: ${text}: ${message}`, { cause: error });
    }
  }

  #learn(servers: unknown): void {
    if (!this.#addressOf || !Array.isArray(servers)) return;
    const isHost = (one: unknown): one is string => typeof one === 'string' && one !== '' && one.length <= hostNameMax;
    this.#link.learn(servers.filter(isHost).slice(0, serversMax).map(this.#addressOf));
  }

  #sameVolume(given: unknown): string | undefined {
    if (typeof given !== 'string') return undefined;
    this.#volumeId ??= given;
    if (given !== this.#volumeId)
      throw new Error(`the volume ${this.#volumeId} is gone, and another one, ${given}, has its name`);
    return given;
  }

  /**
   * A node that was away has the volfile from before until it has caught up: with that a process would go back to bricks that have left, or no longer see new
   * ones. It tells when it has. The one that told of a version may go back: a pool that was recovered by force may have lost it.
   */
  #noOlder(given: unknown): number | undefined {
    if (typeof given !== 'number') return undefined;
    const { serverName: server } = this.#link;
    const taken = this.#taken;
    if (taken && given < taken.version && server !== taken.server)
      throw new VolfileSourceError(
        `failed to fetch the volume file: ${server} is behind: it has version ${given} of the volume, ${taken.server} has told version ${taken.version}`,
      );
    this.#taken = { version: given, server };
    return given;
  }

  /** Also after a new connection: a change while glusterd was away would be missed else. */
  watch(changed: () => void): () => void {
    const unwatch = this.#link.onConnect(changed);
    this.#changed = changed;
    if (this.#missed) changed();
    this.#link.keep();
    return () => {
      this.#changed = () => undefined;
      unwatch();
    };
  }

  /** Also after a new connection: bricks are found through glusterd, which was away. */
  onBrickStarted(started: () => void): () => void {
    const unhear = this.#link.onConnect(started);
    this.#startedHandlers.add(started);
    return () => {
      this.#startedHandlers.delete(started);
      unhear();
    };
  }
}
