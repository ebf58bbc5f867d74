/** Paths of a volume and what is done where they lead, in somebody's name. */
import { Errno, type Failure, type Gfid, newGfid } from '@mortar/core';
import type { CallOptions, Client, Identity, Work } from './client.ts';
import { must } from './errors.ts';
import { NameCache } from './name-cache.ts';
import { pathBytes, pathText, type VolumePath } from './paths.ts';
import { VolumeStats } from './stats.ts';
import { type How, type Place, Walker } from './walk.ts';

export const follow: How = { follow: true, last: 'believe' };
export const asLink: How = { follow: false, last: 'believe' };
export const byName: How = { follow: false, last: 'unseen' };
/** What a believed name may be to blame for. */
const staleErrnos: readonly number[] = [Errno.ESTALE, Errno.ENOENT, Errno.ENOTDIR];

export type Outcome = { ok: true } | { ok: false; errno: number };

export const fails = (errno: number): { ok: false; errno: Errno } => ({ ok: false, errno: errno as Errno });

export interface PlacesOptions {
  readonly client: Client;
  readonly who: Identity;
  /** Taken off the modes of what is made. */
  readonly umask: number;
  /** The directory that paths begin in. */
  readonly root: Gfid;
  readonly entryTimeoutMs: number;
  readonly nameCacheLimit: number;
}

export class Places {
  readonly client: Client;
  readonly who: Identity;
  readonly umask: number;
  readonly cache: NameCache;
  readonly walker: Walker;

  constructor({ client, who, umask, root, entryTimeoutMs, nameCacheLimit }: PlacesOptions) {
    this.client = client;
    this.who = who;
    this.umask = umask;
    this.cache = new NameCache(client.services.clock, entryTimeoutMs, nameCacheLimit);
    client.addCache(this.cache);
    this.walker = new Walker({ client, who, cache: this.cache, root });
  }

  run<R extends { ok: boolean }>(options: CallOptions | undefined, work: Work<R>): Promise<R | Failure> {
    return this.client.run(this.who, options, work);
  }

  /** Goes to a path and works there; once more, without believed names, if they may be to blame for an error. */
  at<R extends Outcome>(
    path: VolumePath,
    how: How,
    syscall: string,
    options: CallOptions | undefined,
    work: (place: Place) => Promise<R>,
  ): Promise<Extract<R, { ok: true }>> {
    const bytes = pathBytes(path);
    return this.retried<R>({ path: pathText(path) }, syscall, async (trust) => {
      const place = await this.walker.walk(bytes, how, trust, options);
      const reply = place.ok ? await work(place) : (place as Outcome as R);
      return { reply, believed: place.believed };
    });
  }

  async retried<R extends Outcome>(
    place: { path: string; dest?: string },
    syscall: string,
    work: (trust: boolean) => Promise<{ reply: R | Failure; believed: boolean }>,
  ): Promise<Extract<R, { ok: true }>> {
    const first = await work(true);
    const { reply } = first;
    const isStale = !reply.ok && first.believed && staleErrnos.includes(reply.errno);
    return must<R>((isStale ? (await work(false)).reply : reply) as R, syscall, place);
  }

  async stat(
    path: VolumePath,
    follows: boolean,
    syscall: string,
    options: CallOptions | undefined,
  ): Promise<VolumeStats> {
    const how: How = { follow: follows, last: 'ask' };
    const { iatt } = await this.at(path, how, syscall, options, async (place) => place);
    return new VolumeStats(iatt!);
  }

  newGfid(): Gfid {
    return newGfid(this.client.services.random);
  }
}
