/** The frame: a 32-byte little-endian header, then the meta part, then the payload (docs/rpc.md). */
export const headerBytes = 32;

export const Kind = { request: 0, reply: 1, notice: 2 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** What a frame's `op` counts: control messages of the connection, fops, or management calls. */
export const Channel = { control: 0, fop: 1, management: 2 } as const;
export type Channel = (typeof Channel)[keyof typeof Channel];

/** `op` of control frames. */
export const Control = { hello: 1, ping: 2, goodbye: 3 } as const;

export const kindMask = 0b11;
export const channelShift = 2;
/** The reply is a failure: `status` is an errno. */
export const errorFlag = 1 << 4;
/** The request was sent before, over a connection that is gone. */
export const retryFlag = 1 << 5;
const knownFlags = 0b111111;

export function flagsOf(kind: Kind, channel: Channel): number {
  return kind | (channel << channelShift);
}

/** Byte limits of one connection. */
export interface FrameLimits {
  metaBytes: number;
  payloadBytes: number;
}

export const fopLimits: Readonly<FrameLimits> = { metaBytes: 1 << 20, payloadBytes: 4 << 20 };
export const managementLimits: Readonly<FrameLimits> = { metaBytes: 1 << 16, payloadBytes: 8 << 20 };
/** Until the handshake is through nobody may make us hold more than this. */
export const helloLimits: Readonly<FrameLimits> = { metaBytes: 1 << 14, payloadBytes: 0 };

export type BadFrameReason = 'length' | 'flags' | 'meta' | 'payload' | 'handshake' | 'channel' | 'decode' | 'sequence';

/** The peer broke the protocol: its connection is closed and counted by `reason`. */
export class FrameError extends Error {
  readonly code = 'EFRAME';
  readonly reason: BadFrameReason;

  constructor(reason: BadFrameReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** One object a connection, filled anew for each frame: whoever needs a field later copies it. */
export class Header {
  length = 0;
  id = 0;
  op = 0;
  flags = 0;
  status = 0;
  metaBytes = 0;
  payloadBytes = 0;
  cookieLow = 0;
  cookieHigh = 0;

  get kind(): number {
    return this.flags & kindMask;
  }

  get channel(): number {
    return (this.flags >> channelShift) & 0b11;
  }

  read(view: DataView, at: number): void {
    this.length = view.getUint32(at, true);
    this.id = view.getUint32(at + 4, true);
    this.op = view.getUint16(at + 8, true);
    this.flags = view.getUint16(at + 10, true);
    this.status = view.getInt32(at + 12, true);
    this.metaBytes = view.getUint32(at + 16, true);
    this.payloadBytes = view.getUint32(at + 20, true);
    this.cookieLow = view.getUint32(at + 24, true);
    this.cookieHigh = view.getUint32(at + 28, true);
  }

  /** Throws before anything is allocated for the frame. */
  check(limits: FrameLimits): void {
    if (this.metaBytes > limits.metaBytes)
      throw new FrameError('meta', `meta of ${this.metaBytes} bytes, at most ${limits.metaBytes} allowed`);
    if (this.payloadBytes > limits.payloadBytes)
      throw new FrameError('payload', `payload of ${this.payloadBytes} bytes, at most ${limits.payloadBytes} allowed`);
    if (this.length !== headerBytes + this.metaBytes + this.payloadBytes)
      throw new FrameError('length', `frame length ${this.length} is not the sum of its parts`);
    if ((this.flags & ~knownFlags) !== 0 || this.kind > 2 || this.channel > 2)
      throw new FrameError('flags', `unknown flags 0x${this.flags.toString(16)}`);
  }
}

/** Sequence numbers of requests reach 2^53 - 1: the low half travels as `id`, the rest in the cookie's high half. */
export function sequenceOf(header: Header): number {
  return header.cookieHigh * 0x1_0000_0000 + header.id;
}

export function highHalf(sequence: number): number {
  return Math.floor(sequence / 0x1_0000_0000);
}
