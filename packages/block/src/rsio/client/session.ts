/**
 * A session with one server over any number of paths. A request goes where the least bytes are under way; what a path that ended
 * has not answered goes over another one, and the server does it once. Outcomes: an answer, or that nobody knows.
 */
import type { Clock, Log, Random, Timer } from '@mortar/core';
import { roomFor } from '../../device/room.ts';
import { FrameFlag, FrameType, type ReplyFrame, type RequestFrame } from '../frame.ts';
import { windowTags } from '../tag-window.ts';
import { Path, type PathHost, type PathPlace, type PathTimes, usualTimes } from './path.ts';

export interface Request {
  readonly frame: RequestFrame;
  readonly payload: Uint8Array | null;
  /** What it weighs on a path. */
  readonly bytes: number;
  wasSent: boolean;
  path: Path | null;
  readonly settle: (outcome: Outcome) => void;
}

/** `lost`: the session is over; it was done or it was not. `isHole`: of a read that has no payload, as all of it is zeroes. */
export type Outcome = { readonly errno: number; readonly payload: Buffer; readonly isHole: boolean } | 'lost';

/** The requests of one device. Its tags are its own: one that does not answer holds up no other. */
interface Lane {
  tag: number;
  /** In the order of their tags. */
  readonly pending: Map<number, Request>;
  /** Of these, those that wait for a path that has room, or for their place in the window. */
  readonly queue: Request[];
}

export interface SessionOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Empty: whatever the server's is. */
  readonly namespace: string;
  readonly client: string;
  readonly key: string;
  readonly checked?: boolean;
  readonly paths: readonly PathPlace[];
  readonly times?: PathTimes;
}

/** What a small request costs beside its payload. */
const requestBytes = 512;
/** A path whose pings take so many times those of the best is used when that has more to do. */
const demotedRatio = 8;
const demotedMinMs = 5;
const nothing = Buffer.alloc(0);

export class ClientSession implements PathHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly namespace: string;
  readonly client: string;
  readonly key: string;
  readonly checked: boolean;
  readonly times: PathTimes;
  #paths: readonly Path[];
  #isStarted = false;
  #id = '';
  #making: Path | null = null;
  /** By device. */
  readonly #lanes = new Map<number, Lane>();
  readonly #waiting = new Set<Lane>();
  #pending = 0;
  #timer: Timer | null = null;
  #isClosed = false;
  /** Since when no path is up; null: one is. */
  #downMs: number | null;
  readonly #listeners = new Set<() => void>();
  /** Grows with each session that was begun: what was opened in an earlier one is gone. */
  epoch = 0;

  constructor(options: SessionOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.log = options.log;
    this.namespace = options.namespace;
    this.client = options.client;
    this.key = options.key;
    this.checked = options.checked ?? false;
    this.times = options.times ?? usualTimes;
    this.#paths = options.paths.map((place, index) => new Path(index, place, this));
    this.#downMs = this.clock.nowMs();
  }

  get paths(): readonly Path[] {
    return this.#paths;
  }

  /** One more way to the same server. */
  addPath(place: PathPlace): void {
    const path = new Path(this.#paths.length, place, this);
    this.#paths = [...this.#paths, path];
    if (this.#isStarted && !this.#isClosed) path.start();
  }

  start(): void {
    this.#isStarted = true;
    for (const path of this.paths) path.start();
    this.#watch();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const path of this.paths) path.stop();
    this.#giveUp();
  }

  get isUp(): boolean {
    return this.#downMs === null;
  }

  /** How long no path has been up. */
  get downMs(): number {
    return this.#downMs === null ? 0 : this.clock.nowMs() - this.#downMs;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Called when paths come and go. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** `payload` is the caller's again with the outcome. */
  request(type: FrameType, flags: number, device: number, offset: number, length: number, payload: Uint8Array | null) {
    return new Promise<Outcome>((settle) => {
      if (this.#isClosed) return settle('lost');
      const lane = this.#laneOf(device);
      lane.tag = lane.tag === 0xffff_ffff ? 1 : lane.tag + 1;
      const frame: RequestFrame = { type, flags, device, tag: lane.tag, offset, length };
      const bytes = requestBytes + Math.max(length, payload?.length ?? 0);
      const request: Request = { frame, payload, bytes, wasSent: false, path: null, settle };
      lane.pending.set(frame.tag, request);
      this.#pending++;
      if (lane.queue.length > 0 || !this.#dispatch(lane, request)) this.#wait(lane, request);
    });
  }

  #laneOf(device: number): Lane {
    let lane = this.#lanes.get(device);
    if (!lane) {
      lane = { tag: 0, pending: new Map(), queue: [] };
      this.#lanes.set(device, lane);
    }
    return lane;
  }

  /** The session begins anew: nobody knows what became of what is under way, and the server lets nothing of it happen later. */
  reset(): void {
    this.#id = '';
    this.#giveUp();
    for (const path of this.paths) if (path.isUp) path.restart('the session begins anew');
  }

  #giveUp(): void {
    this.epoch++;
    const pending = [...this.#lanes.values()].flatMap((lane) => [...lane.pending.values()]);
    this.#lanes.clear();
    this.#waiting.clear();
    this.#pending = 0;
    for (const request of pending) {
      request.path?.forget(request);
      request.settle('lost');
    }
  }

  #dispatch(lane: Lane, request: Request): boolean {
    const oldest = lane.pending.keys().next().value ?? request.frame.tag;
    if (((request.frame.tag - oldest) | 0) >= windowTags) return false;
    const path = this.#choose(request);
    if (!path) return false;
    path.send(request);
    return true;
  }

  /** Null: none has room. */
  #choose(request: Request): Path | null {
    let best: Path | null = null;
    let bestCost = Number.POSITIVE_INFINITY;
    let rttMs = Number.POSITIVE_INFINITY;
    for (const path of this.paths) if (path.isUp && path.rttMs > 0) rttMs = Math.min(rttMs, path.rttMs);
    const isWell = this.paths.some((path) => path.isUp && !path.isSuspect);
    for (const path of this.paths) {
      if (!path.isUp || (path.isSuspect && isWell) || !path.hasRoomFor(request)) continue;
      const isSlow = path.rttMs > demotedMinMs && path.rttMs > demotedRatio * rttMs;
      const cost = path.underBytes + (isSlow ? 1e6 + 4 * path.underBytes : 0);
      if (cost >= bestCost) continue;
      best = path;
      bestCost = cost;
    }
    return best;
  }

  #wait(lane: Lane, request: Request): void {
    lane.queue.push(request);
    this.#waiting.add(lane);
  }

  #pump(): void {
    for (const lane of this.#waiting) {
      const { queue } = lane;
      let sent = 0;
      while (sent < queue.length && this.#dispatch(lane, queue[sent]!)) sent++;
      queue.splice(0, sent);
      if (queue.length === 0) this.#waiting.delete(lane);
    }
  }

  sessionId(path: Path): string | null {
    if (this.#id !== '') return this.#id;
    if (this.#making && this.#making !== path && this.#making.state === 'connecting') return null;
    this.#making = path;
    return '';
  }

  joined(path: Path, asked: string, session: string): boolean {
    if (this.#making === path) this.#making = null;
    // The one that it asked for was given up while it did: its tags are used, and its devices are not ours any more.
    if (asked !== this.#id) return false;
    this.#id = session;
    this.#downMs = null;
    this.#pump();
    this.#changed();
    return true;
  }

  isOver(path: Path, asked: string): void {
    // Another path has begun the next one already.
    if (asked !== this.#id) return;
    this.log.write('WARNING', 'rsio', `the session is not known at ${path.place.name} any more`);
    this.#id = '';
    this.#giveUp();
    this.#changed();
  }

  down(path: Path, lost: readonly Request[]): void {
    if (this.#making === path) this.#making = null;
    if (this.#downMs === null && !this.paths.some((one) => one.isUp)) this.#downMs = this.clock.nowMs();
    for (const request of lost) {
      const lane = this.#lanes.get(request.frame.device);
      if (lane?.pending.get(request.frame.tag) !== request) continue;
      request.path = null;
      this.#wait(lane, request);
    }
    const tagOf = (request: Request) => request.frame.tag;
    // In the order in which they were asked: the oldest one holds the window.
    for (const { queue } of this.#waiting) queue.sort((a, b) => (tagOf(a) - tagOf(b)) | 0);
    this.#pump();
    this.#changed();
  }

  answered(request: Request, { errno, flags }: ReplyFrame, payload: Buffer, isOwn: boolean): void {
    const { type, device, tag } = request.frame;
    const lane = this.#lanes.get(device);
    if (lane?.pending.get(tag) !== request) return;
    lane.pending.delete(tag);
    this.#pending--;
    // The server gives its number to no other device of the session.
    if (type === FrameType.CLOSE && lane.pending.size === 0) this.#lanes.delete(device);
    let own: Buffer = isOwn ? payload : nothing;
    if (payload.length > 0 && !isOwn) {
      own = roomFor(payload.length);
      payload.copy(own);
    }
    request.settle({ errno, payload: own, isHole: (flags & FrameFlag.OPTION) !== 0 });
    if (this.#waiting.size > 0) this.#pump();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Often while something is under way. */
  #watch(): void {
    if (this.#isClosed) return;
    const isBusy = this.#pending > 0;
    const ms = isBusy ? this.times.suspectMs / 4 : Math.min(this.times.pingMs, this.times.suspectMs);
    this.#timer = this.clock.after(ms, () => {
      for (const path of this.paths) {
        const hasOther = this.paths.some((other) => other !== path && other.isUp && !other.isSuspect);
        path.watch(!hasOther);
      }
      this.#watch();
    });
  }

  /** Refusals that mean the client is not let in, for a person. */
  get status(): readonly { name: string; state: string; underBytes: number; rttMs: number; why: string }[] {
    return this.paths.map((path) => ({
      name: path.place.name,
      state: path.isUp ? (path.isSuspect ? 'suspect' : 'connected') : path.state,
      underBytes: path.underBytes,
      rttMs: path.rttMs,
      why: path.why,
    }));
  }
}
