/** Walks the volume: gives directories the layouts that they would get now, and moves files to where they hash to. */
import { type Call, type Dirent, Fd, FileType, type Gfid, locAt, locOf, rootCall, rootGfid } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { fixLayout } from './fix-layout.ts';
import { linktoTarget } from './linkto.ts';
import { migrateFile } from './migrate.ts';
import { hasRoom } from './room.ts';

/**
 * `fix-layout` moves nothing, `migrate` leaves files where they are if their new place is fuller than the old one,
 * `force` moves them all the same, `detach` empties the children that leave the volume.
 */
export type RebalanceKind = 'fix-layout' | 'migrate' | 'force' | 'detach';
export type RebalanceState = 'running' | 'completed' | 'stopped' | 'failed';

export interface RebalanceStatus {
  readonly state: RebalanceState;
  readonly movedFiles: number;
  readonly movedBytes: number;
  readonly scanned: number;
  readonly failures: number;
  readonly skipped: number;
  readonly seconds: number;
}

interface Directory {
  readonly gfid: Gfid;
  readonly parent: Gfid | null;
  readonly name: string | null;
}

const pageBytes = 64 * 1024;
const filesAtATime = 4;
/** Directories that wait to be walked; beyond that their parents would have to be read again. */
const pendingMax = 1_000_000;

export class Rebalance {
  readonly #d: Distribute;
  readonly #kind: RebalanceKind;
  readonly #beganMs: number;
  #endedMs: number | undefined;
  #state: RebalanceState = 'running';
  #stopping = false;
  #movedFiles = 0;
  #movedBytes = 0;
  #scanned = 0;
  #failures = 0;
  #skipped = 0;

  constructor(d: Distribute, kind: RebalanceKind) {
    this.#d = d;
    this.#kind = kind;
    this.#beganMs = d.services.clock.nowMs();
  }

  /** The file under way is finished first. */
  stop(): void {
    this.#stopping = true;
  }

  status(): RebalanceStatus {
    const endMs = this.#endedMs ?? this.#d.services.clock.nowMs();
    return {
      state: this.#state,
      movedFiles: this.#movedFiles,
      movedBytes: this.#movedBytes,
      scanned: this.#scanned,
      failures: this.#failures,
      skipped: this.#skipped,
      seconds: Math.floor((endMs - this.#beganMs) / 1000),
    };
  }

  async run(): Promise<RebalanceStatus> {
    try {
      this.#state = await this.#walk();
    } catch (error) {
      this.#d.warn(`rebalance: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      this.#state = 'failed';
    }
    this.#endedMs = this.#d.services.clock.nowMs();
    const { state, movedFiles, movedBytes, scanned, failures, skipped } = this.status();
    const counts = `Files migrated: ${movedFiles}, size: ${movedBytes}, lookups: ${scanned}, failures: ${failures}, skipped: ${skipped}`;
    this.#d.services.log.write('INFO', this.#d.name, `Rebalance is ${state}. ${counts}`);
    return this.status();
  }

  /** A directory is laid out before anything below it is looked at, as new files in it go by the new layout. */
  async #walk(): Promise<RebalanceState> {
    const pending: Directory[] = [{ gfid: rootGfid, parent: null, name: null }];
    for (let directory = pending.pop(); directory; directory = pending.pop()) {
      if (this.#stopping) return 'stopped';
      if (this.#d.someDown) return this.#fail('a subvolume is down');
      const call = this.#call();
      const loc =
        directory.parent === null ? locOf(rootGfid) : locAt(directory.parent, directory.name!, directory.gfid);
      // Makes copies that are missing, and tells the name by which the layout begins.
      const found = await this.#d.ops.lookup(call, { loc });
      if (!found.ok) continue;
      // A directory is listed by the child that its name hashes to: it must be there before that is a new child.
      const below = await this.#directoriesIn(directory.gfid);
      if (!below) {
        this.#failed(`listing of ${directory.gfid}`);
        continue;
      }
      for (const { parent, name, gfid } of below) await this.#d.ops.lookup(call, { loc: locAt(parent!, name!, gfid) });
      if (!(await fixLayout(this.#d, call, directory.gfid))) this.#failed(`layout of ${directory.gfid}`);
      if (this.#kind !== 'fix-layout') await this.#moveFilesOf(directory.gfid);
      if (pending.length + below.length > pendingMax) return this.#fail('too many directories side by side');
      pending.push(...below);
    }
    return this.#stopping ? 'stopped' : 'completed';
  }

  #call(): Call {
    return { ...rootCall(this.#d.services.clock, 'rebalance'), lockOwner: this.#d.nextLockOwner() };
  }

  #fail(reason: string): 'failed' {
    this.#d.warn(`rebalance ends: ${reason}`);
    return 'failed';
  }

  #failed(what: string): void {
    this.#failures++;
    this.#d.warn(`rebalance: ${what} failed`);
  }

  /** Directories in a directory that any child has; a listing of the volume shows what is where its name hashes to. */
  async #directoriesIn(gfid: Gfid): Promise<Directory[] | undefined> {
    const found = new Map<string, Directory>();
    for (const child of this.#d.children) {
      const complete = await this.#eachPage(
        (fd, offset) => child.readdirp(this.#call(), { fd, size: pageBytes, offset }),
        gfid,
        async (entries) => {
          for (const { name, iatt } of entries)
            if (iatt?.type === FileType.directory) found.set(name, { gfid: iatt.gfid, parent: gfid, name });
        },
      );
      if (!complete) return undefined;
    }
    return [...found.values()];
  }

  async #moveFilesOf(directory: Gfid): Promise<void> {
    const d = this.#d;
    for (const from of d.indices) {
      // What stays in the volume is not touched when others leave it.
      if (this.#kind === 'detach' && d.isUsable(from)) continue;
      const child = d.children[from]!;
      const want = [d.names.linkto];
      const complete = await this.#eachPage(
        (fd, offset) => child.readdirp(this.#call(), { fd, size: pageBytes, offset, want }),
        directory,
        async (entries) => {
          const files = entries.filter((entry) => this.#isFile(entry));
          for (let at = 0; at < files.length && !this.#stopping; at += filesAtATime)
            await Promise.all(files.slice(at, at + filesAtATime).map((file) => this.#move(directory, from, file)));
        },
      );
      if (!complete) this.#failed(`listing of ${directory} on ${d.childName(from)}`);
    }
  }

  #isFile({ iatt, xattrs }: Dirent): boolean {
    if (!iatt || iatt.type === FileType.directory) return false;
    return linktoTarget(iatt, xattrs ?? {}, this.#d.names.linkto) === undefined;
  }

  async #move(parent: Gfid, from: number, { name, iatt }: Dirent): Promise<void> {
    const d = this.#d;
    this.#scanned++;
    const call = this.#call();
    const to = await d.hashedOf(call, parent, name);
    if (isFailure(to)) return this.#failed(`place of ${parent}/${name}`);
    if (to === from) return;
    if (!(await hasRoom(d, call, iatt!, from, to, this.#kind))) {
      this.#skipped++;
      return;
    }
    const moved = await migrateFile(d, call, { parent, name, gfid: iatt!.gfid, from, to });
    if (moved.outcome === 'moved') {
      this.#movedFiles++;
      this.#movedBytes += moved.bytes;
    } else if (moved.outcome === 'skipped') {
      // A child that leaves must not keep anything.
      if (this.#kind === 'detach' && moved.reason !== 'it is gone') this.#failures++;
      else this.#skipped++;
      d.services.log.write('INFO', d.name, `${parent}/${name} is not moved: ${moved.reason}`);
    } else this.#failed(`${parent}/${name} to ${d.childName(to)}: ${moved.reason}; moving it`);
  }

  async #eachPage(
    list: (fd: Fd, offset: number) => ReturnType<Distribute['ops']['readdirp']>,
    gfid: Gfid,
    use: (entries: readonly Dirent[]) => Promise<void>,
  ): Promise<boolean> {
    const fd = new Fd(gfid);
    try {
      for (let offset = 0; !this.#stopping; ) {
        const page = await list(fd, offset);
        if (!page.ok) return false;
        await use(page.entries.filter(({ name }) => name !== '.' && name !== '..'));
        const last = page.entries.at(-1);
        if (page.end || !last) return true;
        offset = last.offset;
      }
      return true;
    } finally {
      fd.release();
    }
  }
}
