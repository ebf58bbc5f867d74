/**
 * Where a device is open: at one of its servers. When no path leads there any more it is opened by force at another one, which keeps
 * whatever the first one still has in hand out for good; when there is none in time, there is no place until a server is back.
 */
import { asErrno, type Clock, Errno, type Log, type Timer } from '@mortar/core';
import type { Answer } from '../../device/device.ts';
import { FrameType } from '../frame.ts';
import { decodeMessage, encodeMessage, type Open, type OpenReply, openReply } from '../messages.ts';
import type { ClientSession, Outcome } from './session.ts';

export interface PlacementOptions {
  readonly name: string;
  /** Sessions with servers that have it, the first one first. More may be added later, behind them. */
  readonly sessions: readonly ClientSession[];
  readonly mode: Open['mode'];
  readonly clock: Clock;
  readonly log: Log;
  /** Without a path for so long it goes to another server, if there is one. */
  readonly takeOverMs?: number;
  /** A request that a server which is there has not answered for so long fails with EIO, and all that is under way with it. */
  readonly answerMs?: number;
  /** Without any server for so long requests fail with EIO; 0: at once (`error`), Infinity: never (`queue`). */
  readonly lossMs?: number;
  /** How long a server that opens it is waited for before others are tried, or requests fail; `lossMs`, but not less than 10 s. */
  readonly openMs?: number;
}

export interface Place {
  readonly session: ClientSession;
  readonly epoch: number;
  /** What the session calls it. */
  readonly device: number;
}

/** Opening it at a server that has not answered yet. */
interface Attempt {
  readonly epoch: number;
  readonly force: boolean;
  readonly outcome: Promise<Outcome>;
}

/** A request under way. */
export interface Asked {
  readonly atMs: number;
}

const defaultTakeOverMs = 2000;
const defaultLossMs = 30_000;
/** Longer than a volume waits for its bricks. */
const defaultAnswerMs = 120_000;
/** A server opens a device when nothing of those before runs on it any more: that is not waited for without end either. */
const openMinMs = 10_000;
const retryMs = 100;
const closeMs = 2000;
const origin = 'rsio';

export class Placement {
  readonly #options: PlacementOptions;
  readonly #takeOverMs: number;
  readonly #lossMs: number;
  readonly #openMs: number;
  readonly answerMs: number;
  readonly #opened: (reply: OpenReply) => void;
  #place: Place | null = null;
  #opening: Promise<Place | null> | null = null;
  /** A volume's device may take longer to open than anybody is patient: it is not asked for anew each time. */
  readonly #attempts = new Map<ClientSession, Attempt>();
  /** Ends the pause between two attempts to open it. */
  #wake: () => void = () => undefined;
  #isClosed = false;
  #isLost = false;
  /** It was given up at its server, and another one is there. */
  #isLeaving = false;
  #failingSinceMs: number | null = null;
  #timer: Timer | null = null;
  /** Those under way, the oldest one first. */
  readonly #asked = new Set<Asked>();

  /** `opened`: what each server that has it open from now on says of it. */
  constructor(options: PlacementOptions, opened: (reply: OpenReply) => void) {
    const { takeOverMs, lossMs, openMs, answerMs } = options;
    this.#options = options;
    this.#takeOverMs = takeOverMs ?? defaultTakeOverMs;
    this.#lossMs = lossMs ?? defaultLossMs;
    this.#openMs = openMs ?? Math.max(this.#lossMs, openMinMs);
    this.answerMs = answerMs ?? defaultAnswerMs;
    this.#opened = opened;
  }

  /** Where it was opened last; it may not be open there any more. */
  get last(): Place | null {
    return this.#place;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Another client has it. */
  get isLost(): boolean {
    return this.#isLost;
  }

  lose(): void {
    this.#isLost = true;
  }

  asked(): Asked {
    const asked = { atMs: this.#options.clock.nowMs() };
    this.#asked.add(asked);
    return asked;
  }

  answered(asked: Asked): void {
    this.#asked.delete(asked);
  }

  /**
   * Tries the servers in turn until one has it open, for `waitMs`, and while one is at it for `answerMs`; then looks after it. Otherwise the
   * errno of the last one.
   */
  async open(force: boolean, waitMs: number): Promise<Place | Errno> {
    const { clock, sessions } = this.#options;
    const startMs = clock.nowMs();
    let errno: Errno = Errno.ENOTCONN;
    for (;;) {
      for (const session of sessions) {
        if (!session.isUp) continue;
        const placed = await this.#openAt(session, force);
        if (typeof placed !== 'number') {
          this.#watch();
          return placed;
        }
        errno = placed;
      }
      await clock.sleep(retryMs);
      const isBeingOpened = [...this.#attempts].some(([session, { epoch }]) => session.isUp && session.epoch === epoch);
      if (clock.nowMs() - startMs >= (isBeingOpened ? Math.max(waitMs, this.answerMs) : waitMs)) break;
    }
    this.#giveBackAll();
    return errno;
  }

  /** The place, or why not. ETIMEDOUT: it may come yet. */
  async #openAt(session: ClientSession, force: boolean): Promise<Place | Errno> {
    const { clock } = this.#options;
    const attempt = this.#attemptAt(session, force);
    const { epoch } = attempt;
    const outcome = await within(clock, this.#openMs, attempt.outcome);
    if (outcome === null) return Errno.ETIMEDOUT;
    // Given back already.
    if (this.#attempts.get(session) !== attempt) return this.#isClosed ? Errno.ESHUTDOWN : Errno.ECANCELED;
    this.#attempts.delete(session);
    if (outcome === 'lost') return Errno.ENOTCONN;
    if (outcome.errno !== 0) return asErrno(outcome.errno);
    const reply = decodeMessage(openReply, outcome.payload);
    if (!reply || session.epoch !== epoch) return Errno.EIO;
    this.#opened(reply);
    this.#place = { session, epoch, device: reply.device };
    this.#giveBackAll();
    return this.#place;
  }

  #attemptAt(session: ClientSession, force: boolean): Attempt {
    const known = this.#attempts.get(session);
    if (known?.epoch === session.epoch && (known.force || !force)) return known;
    if (known) this.#giveBackLate(session, known);
    const { name, mode } = this.#options;
    const payload = encodeMessage({ name, mode, force });
    const outcome = session.request(FrameType.OPEN, 0, 0, 0, payload.length, payload);
    const attempt = { epoch: session.epoch, force, outcome };
    this.#attempts.set(session, attempt);
    return attempt;
  }

  /** Nobody waits for what is still being opened. */
  #giveBackAll(): void {
    for (const [session, attempt] of this.#attempts) this.#giveBackLate(session, attempt);
    this.#attempts.clear();
  }

  #giveBackLate(session: ClientSession, { epoch, outcome }: Attempt): void {
    void outcome.then((late) => this.#giveBack(session, epoch, late));
  }

  /** It was opened when nobody waited for that any more: others may have it. */
  #giveBack(session: ClientSession, epoch: number, outcome: Outcome): void {
    const reply = outcome === 'lost' || outcome.errno !== 0 ? null : decodeMessage(openReply, outcome.payload);
    if (reply && session.epoch === epoch) void session.request(FrameType.CLOSE, 0, reply.device, 0, 0, null);
  }

  /** Where it is open now; null: nowhere, and that will not change in time. */
  now(): Answer<Place | null> {
    if (this.#isClosed || this.#isLost) return null;
    const place = this.#place;
    if (place && place.epoch === place.session.epoch) return place;
    if (this.#failingSinceMs !== null) return null;
    this.#opening ??= this.#reopen().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #reopen(): Promise<Place | null> {
    const { name, sessions, clock, log } = this.#options;
    const before = this.#place?.session ?? null;
    const sinceMs = clock.nowMs();
    while (!this.#isClosed) {
      const patience = before !== null && clock.nowMs() - sinceMs < this.#takeOverMs && !this.#isLeaving;
      const candidates = sessions.filter((one) => one.isUp && (!patience || one === before));
      for (const session of candidates) {
        // Whatever was under way in an earlier session must not happen any more, here or at the server before.
        const placed = await this.#openAt(session, true);
        if (typeof placed === 'number') continue;
        this.#isLeaving = false;
        if (session !== before)
          log.write('WARNING', origin, `device ${name} goes to server ${sessions.indexOf(session)}`);
        return placed;
      }
      if (clock.nowMs() - sinceMs >= this.#lossMs) {
        this.#failingSinceMs = clock.nowMs();
        log.write('ERROR', origin, `device ${name}: no server has had it for ${this.#lossMs} ms: its requests fail`);
        return null;
      }
      await this.#pause();
    }
    return null;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(retryMs, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Looks whether its server is still there, and whether there is one again. */
  #watch(): void {
    const { sessions, clock } = this.#options;
    this.#timer = clock.after(retryMs, () => {
      if (this.#isClosed) return;
      const place = this.#place;
      if (place) {
        this.#leaveStranded(place);
        this.#endOverdue(place);
      }
      if (this.#failingSinceMs !== null && sessions.some((one) => one.isUp)) this.#failingSinceMs = null;
      this.#watch();
    });
  }

  /** No path leads to its server any more. */
  #leaveStranded(place: Place): void {
    const { sessions, clock } = this.#options;
    if (place.session.isUp || place.epoch !== place.session.epoch) return;
    const { downMs } = place.session;
    const hasOther = sessions.some((one) => one !== place.session && one.isUp);
    if (!(downMs >= this.#takeOverMs && hasOther) && downMs < this.#lossMs) return;
    this.#isLeaving = hasOther;
    // What is under way there is not known; nothing of it is let in later.
    if (!hasOther) this.#failingSinceMs = clock.nowMs();
    place.session.reset();
  }

  /**
   * The server is there, and answers pings, but not this device's requests: its disk hangs. They fail, and the session ends with
   * them, so that nothing of them happens after what is asked later.
   */
  #endOverdue(place: Place): void {
    const { name, clock, log } = this.#options;
    const [oldest] = this.#asked;
    if (!oldest || !place.session.isUp || place.epoch !== place.session.epoch) return;
    if (clock.nowMs() - oldest.atMs < this.answerMs) return;
    log.write('ERROR', origin, `device ${name}: its server has not answered for ${this.answerMs} ms: requests fail`);
    this.#failingSinceMs = clock.nowMs();
    place.session.reset();
  }

  /** Its server is told, but not waited for when it does not answer. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#wake();
    this.#giveBackAll();
    const place = this.#place;
    if (!place?.session.isUp || place.epoch !== place.session.epoch) return;
    const told = place.session.request(FrameType.CLOSE, 0, place.device, 0, 0, null);
    await within(this.#options.clock, closeMs, told);
  }
}

/** What comes within `ms`, else null. */
async function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | null> {
  if (ms === Number.POSITIVE_INFINITY) return promise;
  let timer: Timer | undefined;
  const late = new Promise<null>((resolve) => {
    timer = clock.after(ms, () => resolve(null));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer?.cancel();
  }
}
