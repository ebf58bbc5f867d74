/** From a path to a place in the volume: by gfid, a name at a time, symlinks followed. */
import {
  type ByteString,
  Errno,
  type Failure,
  FileType,
  fail,
  type Gfid,
  type Iatt,
  locAt,
  locOf,
  nameMaxBytes,
  pathMaxBytes,
  type Reply,
} from '@mortar/core';
import type { CallOptions, Client, Identity } from './client.ts';
import type { NameCache, NamedFile } from './name-cache.ts';

/** Links on the way; as Linux. */
const linksMax = 40;

export interface How {
  /** Whether a link in the last place is followed. */
  follow: boolean;
  /**
   * Of the last name: `ask` the volume for it, `believe` what was seen lately, leave it `unseen`. With `missing` the place
   * of a name that there is not is found too (`file` null).
   */
  last: 'ask' | 'believe' | 'unseen';
  missing?: boolean;
}

export interface Place {
  ok: true;
  /** Null: the path ends in the root, `.` or `..`. */
  parent: Gfid | null;
  /** The last name; of the root `/`, else also `.` or `..`. */
  name: ByteString;
  file: NamedFile | null;
  /** As of this walk; null if the file was not asked for. */
  iatt: Iatt | null;
  /** Whether a name was believed: what the volume says of the place may be due to that. */
  believed: boolean;
  /** The path ends in a slash. */
  directory: boolean;
  /** Names from the root; for realpath. */
  path: readonly ByteString[];
}

export type Walked = Place | (Failure & { believed: boolean });

interface Step {
  readonly name: ByteString;
  readonly file: NamedFile;
}

export interface WalkerOptions {
  client: Client;
  who: Identity;
  cache: NameCache;
  root: Gfid;
}

export class Walker {
  readonly #client: Client;
  readonly #who: Identity;
  readonly #cache: NameCache;
  readonly #root: Step;

  constructor({ client, who, cache, root }: WalkerOptions) {
    this.#client = client;
    this.#who = who;
    this.#cache = cache;
    this.#root = { name: '/', file: { gfid: root, type: FileType.directory } };
  }

  async walk(path: ByteString, how: How, trust: boolean, options?: CallOptions): Promise<Walked> {
    const way = new Way(path, this.#root);
    if (path.length === 0) return { ...fail(Errno.ENOENT), believed: false };
    if (path.length >= pathMaxBytes) return { ...fail(Errno.ENAMETOOLONG), believed: false };
    for (;;) {
      const { here } = way;
      const name = way.take();
      if (name === null) return way.ended(how.last === 'ask' ? await this.#stat(here.file.gfid, options) : null);
      if (here.file.type !== FileType.directory) return way.failed(Errno.ENOTDIR);
      if (name === '.' || name === '..') {
        if (way.isLast) way.specialLast = name;
        if (name === '..') way.up();
        continue;
      }
      if (name.length > nameMaxBytes) return way.failed(Errno.ENAMETOOLONG);
      if (way.isLast && how.last === 'unseen') return way.at(name, null, null);
      const may = trust && (!way.isLast || how.last === 'believe');
      let file = may ? this.#cache.find(here.file.gfid, name) : undefined;
      let iatt: Iatt | null = null;
      if (file) way.believed = true;
      else {
        const reply = await this.#lookup(here.file.gfid, name, options);
        if (!reply.ok) {
          if (way.isLast && how.missing && reply.errno === Errno.ENOENT) return way.at(name, null, null);
          return way.failed(reply.errno);
        }
        iatt = reply.iatt;
        file = iatt;
      }
      const isLink = file.type === FileType.symlink;
      if (isLink && (!way.isLast || how.follow || way.endsInSlash)) {
        if (++way.links > linksMax) return way.failed(Errno.ELOOP);
        const { gfid } = file;
        const reply = await this.#client.run(this.#who, options, (top, call) =>
          top.readlink(call, { loc: locOf(gfid) }),
        );
        if (!reply.ok) return way.failed(reply.errno);
        if (!way.follow(reply.target)) return way.failed(reply.target === '' ? Errno.ENOENT : Errno.ENAMETOOLONG);
        continue;
      }
      if (way.isLast) {
        if (way.endsInSlash && file.type !== FileType.directory) return way.failed(Errno.ENOTDIR);
        return way.at(name, file, iatt);
      }
      way.down({ name, file });
    }
  }

  async #lookup(parent: Gfid, name: ByteString, options: CallOptions | undefined): Promise<Reply<'lookup'>> {
    const asked = this.#cache.ask();
    let reply: Reply<'lookup'>;
    try {
      reply = await this.#client.run(this.#who, options, (top, call) => top.lookup(call, { loc: locAt(parent, name) }));
      if (reply.ok) this.#cache.learn(parent, name, reply.iatt, asked);
    } finally {
      // It may be the last one under way: with it goes what was forgotten meanwhile.
      this.#cache.answered();
    }
    if (!reply.ok) {
      this.#cache.forget(parent, name);
      return reply;
    }
    const { gfid } = reply.iatt;
    const { inodes } = this.#client.services;
    const inode = inodes.find(gfid);
    if (inode) inodes.link(parent, name, inode);
    return reply;
  }

  #stat(gfid: Gfid, options: CallOptions | undefined): Promise<Reply<'stat'>> {
    return this.#client.run(this.#who, options, (top, call) => top.stat(call, { loc: locOf(gfid) }));
  }
}

/** Where a walk is. */
class Way {
  readonly #root: Step;
  #steps: Step[];
  /** The names still to go, the next one last. */
  #names: ByteString[];
  endsInSlash: boolean;
  links = 0;
  believed = false;
  specialLast: '.' | '..' | null = null;

  constructor(path: ByteString, root: Step) {
    this.#root = root;
    this.#steps = [root];
    this.#names = namesOf(path);
    this.endsInSlash = path.endsWith('/');
  }

  get here(): Step {
    return this.#steps.at(-1)!;
  }

  get isLast(): boolean {
    return this.#names.length === 0;
  }

  take(): ByteString | null {
    return this.#names.pop() ?? null;
  }

  down(step: Step): void {
    this.#steps.push(step);
  }

  up(): void {
    if (this.#steps.length > 1) this.#steps.pop();
  }

  /** False: the target cannot be one. */
  follow(target: ByteString): boolean {
    if (target === '' || target.length >= pathMaxBytes) return false;
    if (target.startsWith('/')) this.#steps = [this.#root];
    if (this.isLast && target.endsWith('/')) this.endsInSlash = true;
    this.#names.push(...namesOf(target));
    return true;
  }

  failed(errno: Errno): Failure & { believed: boolean } {
    return { ok: false, errno, believed: this.believed };
  }

  at(name: ByteString, file: NamedFile | null, iatt: Iatt | null): Place {
    const { believed, endsInSlash, here } = this;
    const path = [...this.#passed(), name];
    return { ok: true, parent: here.file.gfid, name, file, iatt, believed, directory: endsInSlash, path };
  }

  /** The path ends in a directory that is gone through already: the root, `.` or `..`. */
  ended(reply: Reply<'stat'> | null): Walked {
    if (reply && !reply.ok) return this.failed(reply.errno);
    const { believed, here } = this;
    const name = this.specialLast ?? here.name;
    const iatt = reply ? reply.iatt : null;
    return { ok: true, parent: null, name, file: here.file, iatt, believed, directory: true, path: this.#passed() };
  }

  #passed(): ByteString[] {
    return this.#steps.slice(1).map(({ name }) => name);
  }
}

/** The next one last. */
function namesOf(path: ByteString): ByteString[] {
  return path
    .split('/')
    .filter((name) => name !== '')
    .reverse();
}
