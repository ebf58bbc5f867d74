/**
 * A device that servers offer, as a device here. It is open at one of them; when no path leads there any more it is opened by force
 * at another one, which keeps whatever the first one still has in hand out for good, and only then is sent again what was not answered.
 */
import { asErrno, type Clock, Errno, type Log, type Timer } from '@mortar/core';
import {
  type Answer,
  allDone,
  type Done,
  done,
  type ReadReply,
  refuse,
  type StatusReply,
  type Traits,
  type ZeroHow,
  zeroPieces,
} from '../../device/device.ts';
import { GuardedDevice, plainTraits } from '../../device/guarded.ts';
import { FrameFlag, FrameType } from '../frame.ts';
import { decodeMessage, encodeMessage, type Open, type OpenReply, openReply } from '../messages.ts';
import { decodeExtents } from '../status.ts';
import type { ClientSession, Outcome } from './session.ts';

export interface RemoteOptions {
  readonly name: string;
  /** Sessions with servers that have it, the first one first. */
  readonly sessions: readonly ClientSession[];
  readonly mode: Open['mode'];
  readonly clock: Clock;
  readonly log: Log;
  /** Take it from whoever has it, already at the start. */
  readonly force?: boolean;
  /** Without a path for so long it goes to another server, if there is one. */
  readonly takeOverMs?: number;
  /** A request that a server which is there has not answered for so long fails with EIO, and all that is under way with it. */
  readonly answerMs?: number;
  /** Without any server for so long requests fail with EIO; 0: at once (`error`), Infinity: never (`queue`). */
  readonly lossMs?: number;
  /** How long a server may take to open it; `lossMs`, but not less than 10 s. */
  readonly openMs?: number;
}

interface Place {
  readonly session: ClientSession;
  readonly epoch: number;
  readonly device: number;
}

/** Larger requests go in parts, over several paths. Each part costs a request: they are as large as the number of paths lets them be. */
const partMinBytes = 64 * 1024;
const partMaxBytes = 1024 * 1024;
const defaultTakeOverMs = 2000;
const defaultLossMs = 30_000;
/** Longer than a volume waits for its bricks. */
const defaultAnswerMs = 120_000;
/** A server opens a device when nothing of those before runs on it any more: that is not waited for without end either. */
const openMinMs = 10_000;
const retryMs = 100;
const closeMs = 2000;
const origin = 'rsio';

export class RemoteDevice extends GuardedDevice {
  readonly name: string;
  readonly #options: RemoteOptions;
  #traits: Traits = plainTraits;
  #sizeBytes = 0;
  #place: Place | null = null;
  #opening: Promise<Place | null> | null = null;
  #ending: (() => void)[] = [];
  #isClosed = false;
  /** Another client has it. */
  #isLost = false;
  #failingSinceMs: number | null = null;
  #timer: Timer | null = null;
  /** When those under way were asked, the oldest one first. */
  readonly #asked = new Set<{ readonly atMs: number }>();

  /** Of a device that was opened: `RemoteDevice.open`. */
  private constructor(options: RemoteOptions) {
    super();
    this.name = options.name;
    this.#options = options;
  }

  /** Tries the servers in turn until one has it open, for `waitMs`. */
  static async open(
    options: RemoteOptions,
    waitMs: number,
  ): Promise<{ ok: true; device: RemoteDevice } | { ok: false; errno: Errno }> {
    const device = new RemoteDevice(options);
    const { clock } = options;
    const untilMs = clock.nowMs() + waitMs;
    let errno: Errno = Errno.ENOTCONN;
    do {
      for (const session of options.sessions) {
        if (!session.isUp) continue;
        const placed = await device.#openAt(session, options.force ?? false);
        if (typeof placed !== 'number') {
          device.#watch();
          return { ok: true, device };
        }
        errno = placed;
        if (errno === Errno.ENOENT || errno === Errno.EBUSY || errno === Errno.EACCES) continue;
      }
      await clock.sleep(retryMs);
    } while (clock.nowMs() < untilMs);
    return { ok: false, errno };
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get traits(): Traits {
    return this.#traits;
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** How many servers have it. */
  get servers(): number {
    return this.#options.sessions.length;
  }

  /** The number of the session it is open in; for a person. */
  get server(): number {
    return this.#place ? this.#options.sessions.indexOf(this.#place.session) : -1;
  }

  /** The place, or why not. */
  async #openAt(session: ClientSession, force: boolean): Promise<Place | Errno> {
    const { name, mode } = this.#options;
    const { epoch } = session;
    const payload = encodeMessage({ name, mode, force });
    const { clock, lossMs = defaultLossMs, openMs = Math.max(lossMs, openMinMs) } = this.#options;
    const asked = session.request(FrameType.OPEN, 0, 0, 0, payload.length, payload);
    const outcome = await within(clock, openMs, asked);
    if (outcome === null) return Errno.ETIMEDOUT;
    if (outcome === 'lost') return Errno.ENOTCONN;
    if (outcome.errno !== 0) return asErrno(outcome.errno);
    const reply = decodeMessage(openReply, outcome.payload);
    if (!reply || session.epoch !== epoch) return Errno.EIO;
    this.#learn(reply);
    this.#place = { session, epoch, device: reply.device };
    return this.#place;
  }

  #learn(reply: OpenReply): void {
    const { sizeBytes, readOnly, minimumBytes, preferredBytes, maximumBytes, rotational, resizable } = reply;
    this.#sizeBytes = sizeBytes;
    const streams = false;
    this.#traits = { readOnly, minimumBytes, preferredBytes, maximumBytes, rotational, resizable, streams };
  }

  /** Where it is open now; null: nowhere, and that will not change in time. */
  #at(): Answer<Place | null> {
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
    const { sessions, clock, log, lossMs = defaultLossMs, takeOverMs = defaultTakeOverMs } = this.#options;
    const before = this.#place?.session ?? null;
    const sinceMs = clock.nowMs();
    while (!this.#isClosed) {
      const patience = before !== null && clock.nowMs() - sinceMs < takeOverMs && !this.#isLeaving;
      const candidates = sessions.filter((one) => one.isUp && (!patience || one === before));
      for (const session of candidates) {
        // Whatever was under way in an earlier session must not happen any more, here or at the server before.
        const placed = await this.#openAt(session, true);
        if (typeof placed === 'number') continue;
        this.#isLeaving = false;
        if (session !== before)
          log.write('WARNING', origin, `device ${this.name} goes to server ${sessions.indexOf(session)}`);
        return placed;
      }
      if (clock.nowMs() - sinceMs >= lossMs) {
        this.#failingSinceMs = clock.nowMs();
        log.write('ERROR', origin, `device ${this.name}: no server has had it for ${lossMs} ms: its requests fail`);
        return null;
      }
      await new Promise<void>((resolve) => {
        const timer = clock.after(retryMs, resolve);
        this.#ending.push(() => {
          timer.cancel();
          resolve();
        });
      });
      this.#ending = [];
    }
    return null;
  }

  #isLeaving = false;

  /** Looks whether its server is still there, and whether there is one again. */
  #watch(): void {
    const { sessions, clock, lossMs = defaultLossMs, takeOverMs = defaultTakeOverMs } = this.#options;
    this.#timer = clock.after(retryMs, () => {
      if (this.#isClosed) return;
      const place = this.#place;
      const downMs = place?.session.downMs ?? 0;
      const hasOther = sessions.some((one) => one !== place?.session && one.isUp);
      const isStranded = place !== null && !place.session.isUp && place.epoch === place.session.epoch;
      if (isStranded && ((downMs >= takeOverMs && hasOther) || downMs >= lossMs)) {
        this.#isLeaving = hasOther;
        // What is under way there is not known; nothing of it is let in later.
        if (!hasOther) this.#failingSinceMs = clock.nowMs();
        place.session.reset();
      }
      this.#endOverdue(place);
      if (this.#failingSinceMs !== null && sessions.some((one) => one.isUp)) this.#failingSinceMs = null;
      this.#watch();
    });
  }

  /**
   * The server is there, and answers pings, but not this device's requests: its disk hangs. They fail, and the session ends with
   * them, so that nothing of them happens after what is asked later.
   */
  #endOverdue(place: Place | null): void {
    const { clock, log, answerMs = defaultAnswerMs } = this.#options;
    const [oldest] = this.#asked;
    if (!oldest || !place?.session.isUp || place.epoch !== place.session.epoch) return;
    if (clock.nowMs() - oldest.atMs < answerMs) return;
    log.write('ERROR', origin, `device ${this.name}: its server has not answered for ${answerMs} ms: requests fail`);
    this.#failingSinceMs = clock.nowMs();
    place.session.reset();
  }

  async #ask(
    type: FrameType,
    flags: number,
    offset: number,
    length: number,
    payload: Uint8Array | null,
  ): Promise<Exclude<Outcome, 'lost'>> {
    const asked = { atMs: this.#options.clock.nowMs() };
    this.#asked.add(asked);
    try {
      return await this.#askUntil(asked.atMs, type, flags, offset, length, payload);
    } finally {
      this.#asked.delete(asked);
    }
  }

  async #askUntil(
    atMs: number,
    type: FrameType,
    flags: number,
    offset: number,
    length: number,
    payload: Uint8Array | null,
  ): Promise<Exclude<Outcome, 'lost'>> {
    const { clock, answerMs = defaultAnswerMs } = this.#options;
    const failed = (errno: Errno) => ({ errno, payload: Buffer.alloc(0), isHole: false });
    for (;;) {
      const at = this.#at();
      const place = at instanceof Promise ? await at : at;
      if (!place) return failed(this.#isLost ? Errno.EKEYREVOKED : this.#isClosed ? Errno.ESHUTDOWN : Errno.EIO);
      const isDown = this.#options.lossMs === 0 && !place.session.isUp;
      if (isDown) return failed(Errno.EIO);
      const outcome = await place.session.request(type, flags, place.device, offset, length, payload);
      if (outcome === 'lost') {
        if (clock.nowMs() - atMs >= answerMs) return failed(Errno.EIO);
        continue;
      }
      if (outcome.errno !== Errno.EKEYREVOKED) return outcome;
      // Another client has it, unless we have a newer place ourselves.
      if (this.#place !== place) continue;
      this.#isLost = true;
      return outcome;
    }
  }

  async #done(
    type: FrameType,
    flags: number,
    offset: number,
    length: number,
    payload: Uint8Array | null,
  ): Promise<Done> {
    const { errno } = await this.#ask(type, flags, offset, length, payload);
    return errno === 0 ? done : refuse(asErrno(errno));
  }

  /** A power of 2. */
  #partBytes(length: number): number {
    let paths = 0;
    for (const { isUp } of this.#place?.session.paths ?? []) if (isUp) paths++;
    let bytes = partMinBytes;
    while (bytes * paths < length && bytes < partMaxBytes) bytes *= 2;
    return bytes;
  }

  *#parts(offset: number, length: number): Generator<{ at: number; offset: number; length: number }> {
    const partBytes = this.#partBytes(length);
    // Parts end at round places: a server's shards and pages do, too.
    for (let at = 0; at < length; ) {
      const size = Math.min(length - at, partBytes - ((offset + at) % partBytes));
      yield { at, offset: offset + at, length: size };
      at += size;
    }
  }

  protected async doRead(offset: number, length: number): Promise<ReadReply> {
    const parts = [...this.#parts(offset, length)];
    const replies = await Promise.all(
      parts.map((part) => this.#ask(FrameType.READ, FrameFlag.OPTION, part.offset, part.length, null)),
    );
    const pieces: Uint8Array[] = [];
    for (const [i, { errno, payload, isHole }] of replies.entries()) {
      const { length: wanted } = parts[i]!;
      if (errno !== 0) return refuse(asErrno(errno));
      if (payload.length !== (isHole ? 0 : wanted)) return refuse(Errno.EIO);
      if (isHole) pieces.push(...zeroPieces(wanted));
      else pieces.push(payload);
    }
    return { ok: true, pieces };
  }

  protected doWrite(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    const flags = fua ? FrameFlag.FUA : 0;
    return allDone(
      [...this.#parts(offset, bytes.length)].map((part) =>
        this.#done(FrameType.WRITE, flags, part.offset, part.length, bytes.subarray(part.at, part.at + part.length)),
      ),
    );
  }

  protected doZero(offset: number, length: number, { mayTrim, fast, fua }: ZeroHow): Answer<Done> {
    if (fast && !mayTrim) return refuse(Errno.EOPNOTSUPP);
    const flags = (mayTrim ? FrameFlag.OPTION : 0) | (fua ? FrameFlag.FUA : 0);
    return this.#done(FrameType.ZERO, flags, offset, length, null);
  }

  protected doTrim(offset: number, length: number, fua: boolean): Answer<Done> {
    return this.#done(FrameType.TRIM, fua ? FrameFlag.FUA : 0, offset, length, null);
  }

  protected doFlush(): Answer<Done> {
    return this.#done(FrameType.FLUSH, 0, 0, 0, null);
  }

  protected async doStatus(offset: number, length: number, extentsMax: number): Promise<StatusReply> {
    const flags = extentsMax === 1 ? FrameFlag.OPTION : 0;
    const { errno, payload } = await this.#ask(FrameType.STATUS, flags, offset, length, null);
    if (errno !== 0) return refuse(asErrno(errno));
    const extents = decodeExtents(payload, length);
    return extents ? { ok: true, extents: extents.slice(0, extentsMax) } : refuse(Errno.EIO);
  }

  protected override async doResize(sizeBytes: number): Promise<Done> {
    const reply = await this.#done(FrameType.RESIZED, 0, 0, sizeBytes, null);
    if (reply.ok) this.#sizeBytes = sizeBytes;
    return reply;
  }

  /** Its server is told, but not waited for when it does not answer. */
  override async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const wake of this.#ending) wake();
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
