/** Walks the volume: gives directories the layouts that they would get now, and moves files to where they hash to. */
import { type Call, type Dirent, FileType, type Gfid, rootCall } from '@mortar/core';
import { eachPage, type UsePage } from './child-pages.ts';
import { type Distribute, isFailure } from './distribute.ts';
import { type Emptying, emptyLeaving } from './empty-leaving.ts';
import { fixLayout } from './fix-layout.ts';
import { GfidList } from './gfid-list.ts';
import { clearBarrier } from './hold.ts';
import type { AwaitedClient, LateClients } from './late-clients.ts';
import { type LayingOut, layOut } from './lay-out.ts';
import { Left } from './left.ts';
import { linktoTarget } from './linkto.ts';
import { migrateFile } from './migrate.ts';
import { isSmall } from './migrate-small.ts';
import type { Moved } from './moved.ts';
import { placeOfFile } from './names-of-file.ts';
import { tidyLinkto } from './new-place.ts';
import { removeReplaced } from './replaced.ts';
import { Room } from './room.ts';
import { settle } from './settle.ts';
import { beginSettling, settleAll } from './settled-walk.ts';
import { everything, isShared, type Share, shareOf } from './share.ts';
import { Throttle } from './throttle.ts';
import { takeBackUnseen } from './unseen-name.ts';
import { Unsettled } from './unsettled.ts';
import type { Walk } from './walk.ts';

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
  /** Absent: not known (yet). */
  readonly secondsLeft?: number;
}

/** Files in use are tried again at the end, so often, after so long a pause. */
const roundsMax = 3;
const roundPauseMs = 1000;
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
  readonly #left = new Left();
  readonly #throttle: Throttle;
  readonly #room: Room;
  readonly #unsettled: Unsettled;
  /** Other nodes' processes look after the rest. */
  #share: Share = everything;
  /** Directories with files that were in use. */
  #again = new Set<Gfid>();
  #round = 0;
  readonly #late: LateClients | undefined;

  /** `late`: those who must not be surprised by what moves. */
  constructor(d: Distribute, kind: RebalanceKind, late?: LateClients) {
    this.#d = d;
    this.#kind = kind;
    this.#late = late;
    this.#throttle = new Throttle(d.services.clock, () => d.options['rebal-throttle']);
    this.#room = new Room(d, (ms) => this.#throttle.took(ms));
    this.#unsettled = new Unsettled(d);
    this.#beganMs = d.services.clock.nowMs();
  }

  /** The file under way is finished first. */
  stop(): void {
    this.#stopping = true;
    this.#late?.end();
  }

  /** Clients that it waits for now. */
  awaited(): AwaitedClient[] {
    return this.#late?.awaited() ?? [];
  }

  status(): RebalanceStatus {
    const endMs = this.#endedMs ?? this.#d.services.clock.nowMs();
    const left = this.#state === 'running' ? this.#left.ms(endMs) : undefined;
    return {
      ...(left !== undefined && { secondsLeft: Math.round(left / 1000) }),
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
      this.#share = shareOf(this.#d.options['rebalance-share'], this.#d.children.length);
      this.#state = await this.#walk();
      await this.#throttle.idle();
      if (this.#state === 'completed' && this.#d.someDown) this.#state = this.#fail('a subvolume is down');
      this.#failures += await this.#unsettled.settle(() => this.#call(), this.#state === 'completed' ? roundsMax : 1);
    } catch (error) {
      this.#d.warn(`rebalance: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      this.#state = 'failed';
      await this.#throttle.idle().catch(() => undefined);
    }
    this.#late?.end();
    this.#endedMs = this.#d.services.clock.nowMs();
    const { state, movedFiles, movedBytes, scanned, failures, skipped } = this.status();
    const counts = `Files migrated: ${movedFiles}, size: ${movedBytes}, lookups: ${scanned}, failures: ${failures}, skipped: ${skipped}`;
    this.#d.services.log.write('INFO', this.#d.name, `Rebalance is ${state}. ${counts}`);
    return this.status();
  }

  /** Layouts first: then it is known what is to be moved, and new files are where they belong. */
  async #walk(): Promise<RebalanceState> {
    if (this.#late) await this.#late.begin();
    if (this.#stopping) return 'stopped';
    const directories = new GfidList();
    const settles = this.#kind !== 'fix-layout' && (await beginSettling(this.#needs));
    const state = await layOut(this.#layingOut(), directories);
    if (state !== 'completed' || this.#kind === 'fix-layout') return state;
    const moved = await this.#moveAll(directories);
    return moved === 'completed' && settles ? settleAll(this.#needs, directories) : moved;
  }

  async #moveAll(directories: GfidList): Promise<RebalanceState> {
    this.#left.begin(this.#d.services.clock.nowMs());
    for (const gfid of directories) {
      if (this.#stopping) return 'stopped';
      if (this.#d.someDown) return this.#fail('a subvolume is down');
      await this.#moveFilesOf(gfid);
    }
    await this.#throttle.idle();
    return this.#kind === 'detach' ? this.#empty() : this.#moveWhatWasInUse();
  }

  /** What could not be moved, or came to where the walk had been, is moved then. */
  async #empty(): Promise<RebalanceState> {
    const { state, left } = await emptyLeaving(this.#emptying());
    this.#failures += left;
    return state;
  }

  #emptying(): Emptying {
    return {
      ...this.#needs,
      pause: () => this.#d.services.clock.sleep(roundPauseMs),
      looksAfter: (child) => this.#share.has(child),
      isFile: (child, entry) => this.#isFile(entry) && this.#isMine(child, entry),
      eachPage: (from, gfid, want, use) => this.#eachPage(from, gfid, want, use),
      moveFilesOf: async (gfid) => {
        const rest = this.#late?.pass();
        if (rest) await rest;
        await fixLayout(this.#d, this.#call(), gfid);
        await this.#moveFilesOf(gfid);
      },
      endRound: () => this.#throttle.idle(),
      beginRound: () => {
        this.#round++;
      },
    };
  }

  async #moveWhatWasInUse(): Promise<RebalanceState> {
    for (this.#round = 1; this.#round <= roundsMax && this.#again.size > 0 && !this.#stopping; this.#round++) {
      await this.#d.services.clock.sleep(roundPauseMs);
      const again = this.#again;
      this.#again = new Set();
      for (const gfid of again) {
        if (this.#d.someDown) return this.#fail('a subvolume is down');
        await this.#moveFilesOf(gfid);
      }
      await this.#throttle.idle();
    }
    return this.#stopping ? 'stopped' : 'completed';
  }

  #layingOut(): LayingOut {
    return {
      ...this.#needs,
      left: this.#left,
      roundsMax,
      pause: () => this.#d.services.clock.sleep(roundPauseMs),
      atATime: () => this.#throttle.files,
      failed: (what) => this.#failed(what),
      removeReplaced: async (child, at) => {
        const done = await removeReplaced(this.#d, this.#call(), child, at);
        if (!done.ok) this.#failed(`removal of what ${at.parent}/${at.name} replaced`);
      },
      takeBackUnseen: async (child, at) => (await takeBackUnseen(this.#d, this.#call(), child, at)).ok,
      countsOf: (child, entry) => this.#moves(child) && this.#isFile(entry) && this.#isMine(child, entry),
      meets: (child, entry) => this.#meetsOthers(child, entry),
      eachPage: (from, gfid, want, use) => this.#eachPage(from, gfid, want, use),
    };
  }

  get #needs(): Walk {
    return {
      d: this.#d,
      isStopping: () => this.#stopping,
      rest: () => this.#late?.pass(),
      call: () => this.#call(),
      fail: (reason) => this.#fail(reason),
    };
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

  /** What stays in the volume is not touched when others leave it. */
  #moves(from: number): boolean {
    return this.#kind !== 'fix-layout' && !(this.#kind === 'detach' && this.#d.isUsable(from)) && this.#share.has(from);
  }

  /** Whether this process looks after it; a linkto goes by where it is, too. */
  #isMine(from: number, { iatt }: Dirent): boolean {
    return iatt !== null && this.#share.isMine(from, iatt.gfid);
  }

  async #moveFilesOf(directory: Gfid): Promise<void> {
    const d = this.#d;
    for (const from of d.indices) {
      if (!this.#moves(from)) continue;
      const want = [d.names.linkto, d.names.movingMode, d.names.moving];
      const complete = await this.#eachPage(from, directory, want, async (entries, unread) => {
        const files = entries.filter((entry) => entry.iatt?.type !== FileType.directory && this.#isMine(from, entry));
        await this.#throttle.each(
          files,
          (file) => {
            const rest = this.#late?.pass();
            return rest
              ? rest.then(() => this.#moveOrTidy(directory, from, file))
              : this.#moveOrTidy(directory, from, file);
          },
          ({ iatt, xattrs }) => isSmall(d, { iatt: iatt!, xattrs: xattrs ?? {} }),
        );
        for (let i = 0; i < unread; i++) this.#failed(`lookup of a name in ${directory} on ${d.childName(from)}`);
      });
      if (!complete) this.#failed(`listing of ${directory} on ${d.childName(from)}`);
    }
  }

  /** What this process left of a move when it was killed may lie where another one has gone by already: what looks like that is settled at the end. */
  #meetsOthers(child: number, entry: Dirent): void {
    if (this.#kind === 'fix-layout' || !isShared(this.#d) || this.#isMine(child, entry)) return;
    if (this.#isFile(entry) && entry.xattrs?.[this.#d.names.linkto]) this.#unsettled.add(entry.iatt!.gfid);
  }

  #moveOrTidy(directory: Gfid, from: number, file: Dirent): Promise<void> | undefined {
    if (this.#stopping) return undefined;
    return this.#isFile(file) ? this.#move(directory, from, file) : this.#tidy(directory, from, file);
  }

  #isFile({ iatt, xattrs }: Dirent): boolean {
    if (!iatt || iatt.type === FileType.directory) return false;
    return linktoTarget(iatt, xattrs ?? {}, this.#d.names.linkto) === undefined;
  }

  async #move(parent: Gfid, from: number, { name, iatt, xattrs }: Dirent): Promise<void> {
    const d = this.#d;
    if (this.#round === 0) this.#scanned++;
    const call = this.#call();
    const to = await placeOfFile(d, call, { parent, name, from }, iatt!);
    if (to === undefined) return this.#failed(`place of ${parent}/${name}`);
    if (to === from) {
      // A move to here, or from here, did not end.
      const isMarked = [d.names.linkto, d.names.movingMode].some((one) => xattrs?.[one]);
      const isSettled = !isMarked || (await settle(d, call, iatt!.gfid)).ok;
      const hasBarrier = xattrs?.[d.names.moving] !== undefined;
      const isClear = !hasBarrier || (await clearBarrier(d, d.ownCall(call), { gfid: iatt!.gfid, from }));
      if (!isSettled || !isClear) this.#unsettled.add(iatt!.gfid);
      return;
    }
    const { clock } = d.services;
    const beganMs = clock.nowMs();
    if (!(await this.#room.has(call, iatt!, from, to, this.#kind))) {
      this.#left.done(clock.nowMs(), iatt!.size);
      this.#skipped++;
      return;
    }
    const moved = await migrateFile(
      d,
      call,
      { parent, name, gfid: iatt!.gfid, from, to },
      { iatt: iatt!, xattrs: xattrs ?? {} },
    );
    const endMs = clock.nowMs();
    this.#left.done(endMs, iatt!.size, endMs - beganMs);
    if (moved.isUnsettled) this.#unsettled.add(iatt!.gfid);
    this.#count(parent, name, to, moved);
  }

  /** A linkto that has a copy, or lies where its name does not hash to: what a killed run has left. */
  async #tidy(parent: Gfid, from: number, { name, iatt }: Dirent): Promise<void> {
    const d = this.#d;
    const call = this.#call();
    const to = await d.hashedOf(call, parent, name);
    if (isFailure(to) || (to === from && iatt!.size === 0)) return;
    await tidyLinkto(d, call, { parent, name, gfid: iatt!.gfid, from, to });
  }

  #count(parent: Gfid, name: string, to: number, moved: Moved): void {
    const d = this.#d;
    if (moved.outcome === 'moved') {
      this.#movedFiles++;
      this.#movedBytes += moved.bytes;
    } else if (moved.outcome === 'skipped') {
      // In use: once more at the end. A child that leaves may have it under another name now.
      const isGone = moved.reason === 'it is gone';
      const isWorthIt = !moved.isFinal && this.#round < roundsMax && this.#again.size < pendingMax;
      // What a child that leaves still has at the end is counted then.
      if (this.#kind !== 'detach' && !isGone) {
        if (isWorthIt) this.#again.add(parent);
        else this.#skipped++;
      }
      d.services.log.write('INFO', d.name, `${parent}/${name} is not moved: ${moved.reason}`);
    } else {
      const what = `${parent}/${name} to ${d.childName(to)}: ${moved.reason}; moving it`;
      if (this.#kind === 'detach') d.warn(`rebalance: ${what} failed`);
      else this.#failed(what);
    }
  }

  #eachPage(from: number, gfid: Gfid, want: readonly string[], use: UsePage): Promise<boolean> {
    return eachPage(this.#d, this.#call(), { from, gfid, want, isOver: () => this.#stopping }, use);
  }
}
