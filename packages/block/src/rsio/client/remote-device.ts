/**
 * A device that servers offer, as a device here: each request is cut into parts, and sent to where the device is open until it is
 * answered. What was not answered there is sent again only to where the device was opened anew.
 */
import { asErrno, Errno } from '@mortar/core';
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
import type { OpenReply } from '../messages.ts';
import { decodeExtents } from '../status.ts';
import { Placement, type PlacementOptions } from './placement.ts';
import type { Outcome } from './session.ts';

export interface RemoteOptions extends PlacementOptions {
  /** Take it from whoever has it, already at the start. */
  readonly force?: boolean;
}

/** Larger requests go in parts, over several paths. Each part costs a request: they are as large as the number of paths lets them be. */
const partMinBytes = 64 * 1024;
const partMaxBytes = 1024 * 1024;

export class RemoteDevice extends GuardedDevice {
  readonly name: string;
  readonly #options: RemoteOptions;
  #traits: Traits = plainTraits;
  #sizeBytes = 0;
  readonly #placement: Placement;

  /** Of a device that was opened: `RemoteDevice.open`. */
  private constructor(options: RemoteOptions) {
    super();
    this.name = options.name;
    this.#options = options;
    this.#placement = new Placement(options, (reply) => this.#learn(reply));
  }

  /** Tries the servers in turn until one has it open, for `waitMs`. */
  static async open(
    options: RemoteOptions,
    waitMs: number,
  ): Promise<{ ok: true; device: RemoteDevice } | { ok: false; errno: Errno }> {
    const device = new RemoteDevice(options);
    const placed = await device.#placement.open(options.force ?? false, waitMs);
    return typeof placed === 'number' ? { ok: false, errno: placed } : { ok: true, device };
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get traits(): Traits {
    return this.#traits;
  }

  /** Another client has it. */
  get isLost(): boolean {
    return this.#placement.isLost;
  }

  get isClosed(): boolean {
    return this.#placement.isClosed;
  }

  /** How many servers have it. */
  get servers(): number {
    return this.#options.sessions.length;
  }

  /** The number of the session it is open in; for a person. */
  get server(): number {
    const place = this.#placement.last;
    return place ? this.#options.sessions.indexOf(place.session) : -1;
  }

  #learn(reply: OpenReply): void {
    const { sizeBytes, readOnly, minimumBytes, preferredBytes, maximumBytes, rotational, resizable } = reply;
    this.#sizeBytes = sizeBytes;
    const streams = false;
    this.#traits = { readOnly, minimumBytes, preferredBytes, maximumBytes, rotational, resizable, streams };
  }

  async #ask(
    type: FrameType,
    flags: number,
    offset: number,
    length: number,
    payload: Uint8Array | null,
  ): Promise<Exclude<Outcome, 'lost'>> {
    const asked = this.#placement.asked();
    try {
      return await this.#askUntil(asked.atMs, type, flags, offset, length, payload);
    } finally {
      this.#placement.answered(asked);
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
    const { clock, lossMs } = this.#options;
    const placement = this.#placement;
    const failed = (errno: Errno) => ({ errno, payload: Buffer.alloc(0), isHole: false });
    for (;;) {
      const at = placement.now();
      const place = at instanceof Promise ? await at : at;
      if (!place)
        return failed(placement.isLost ? Errno.EKEYREVOKED : placement.isClosed ? Errno.ESHUTDOWN : Errno.EIO);
      const isDown = lossMs === 0 && !place.session.isUp;
      if (isDown) return failed(Errno.EIO);
      const outcome = await place.session.request(type, flags, place.device, offset, length, payload);
      if (outcome === 'lost') {
        if (clock.nowMs() - atMs >= placement.answerMs) return failed(Errno.EIO);
        continue;
      }
      if (outcome.errno !== Errno.EKEYREVOKED) return outcome;
      // Another client has it, unless we have a newer place ourselves.
      if (placement.last !== place) continue;
      placement.lose();
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
    for (const { isUp } of this.#placement.last?.session.paths ?? []) if (isUp) paths++;
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
  override close(): Promise<void> {
    return this.#placement.close();
  }
}
