/** What field readers and writers work on. Encoding and decoding are synchronous, so one object serves a whole session. */
import type { Fd } from '@mortar/core/fd.ts';
import type { Gfid } from '@mortar/core/gfid.ts';
import type { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';
import { FrameError } from '../frame.ts';

/** How the requesting side numbers its open files. */
export interface ClientFds {
  /** The brick's number, 0 if it has none (the brick then serves it by gfid). */
  idOf(fd: Fd): number;
  /** The brick opened it under this number. */
  opened(fd: Fd, id: number): void;
}

/** How the serving side keeps the open files of a session. */
export interface ServerFds {
  /** The fd of a number, or an anonymous one for 0. Throws UnknownFdError. */
  find(id: number, gfid: Gfid): Fd;
  /** An fd for open, opendir, create to fill. */
  make(gfid: Gfid, flags: number): Fd;
  /** Gives a number to an fd that was opened. */
  register(fd: Fd): number;
}

/** The request names an fd that this session does not have: EBADF, not a broken frame. */
export class UnknownFdError extends Error {
  readonly code = 'EBADF';
}

/** An fd made by an earlier step of the same compound: this bit and the step's index, instead of a number. */
export const stepFdBit = 0x8000_0000;
export const fdNumberMax = 0x7fff_ffff;

export class Encoder {
  out: ByteWriter = new ByteWriter(0);
  payloads: Uint8Array[] | null = null;
  /** Fds made by earlier steps, by index of the step; null outside of compounds. */
  stepFds: (Fd | undefined)[] | null = null;
  readonly idOf: (fd: Fd) => number;

  constructor(idOf: (fd: Fd) => number) {
    this.idOf = idOf;
  }

  begin(out: ByteWriter): void {
    this.out = out;
    this.payloads = null;
    this.stepFds = null;
  }

  fd(fd: Fd): void {
    const step = this.stepFds === null ? -1 : this.stepFds.indexOf(fd);
    this.out.u32(step >= 0 ? stepFdBit + step : this.idOf(fd));
    this.out.gfid(fd.gfid);
  }
}

export class Decoder {
  in: ByteReader;
  payload: Buffer;
  payloadAt = 0;
  stepFds: (Fd | undefined)[] | null = null;
  /** Null on the requesting side: replies hold no fds. */
  readonly fds: ServerFds | null;

  constructor(input: ByteReader, payload: Buffer, fds: ServerFds | null) {
    this.in = input;
    this.payload = payload;
    this.fds = fds;
  }

  begin(input: ByteReader, payload: Buffer): void {
    this.in = input;
    this.payload = payload;
    this.payloadAt = 0;
    this.stepFds = null;
  }

  takePayload(length: number): Buffer {
    const at = this.payloadAt;
    if (length > this.payload.length - at) throw new FrameError('decode', 'a payload longer than what came');
    this.payloadAt = at + length;
    return length === this.payload.length ? this.payload : this.payload.subarray(at, at + length);
  }

  fd(): Fd {
    const id = this.in.u32();
    const gfid = this.in.gfid();
    if (!this.fds) throw new FrameError('decode', 'an fd where none can be');
    if (id < stepFdBit) return this.fds.find(id, gfid);
    const made = this.stepFds?.[id - stepFdBit];
    if (!made) throw new FrameError('decode', `no earlier step makes fd ${id - stepFdBit}`);
    return made;
  }

  finish(): void {
    this.in.finish();
    if (this.payloadAt !== this.payload.length) throw new FrameError('decode', 'a payload that nothing refers to');
  }
}
