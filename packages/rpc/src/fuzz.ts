/** Bad peers for tests and the soak: streams of bytes that no client sends, thrown at a real server. */
import type { Clock, Random } from '@mortar/core/ports.ts';
import { Channel, Control, flagsOf, headerBytes, Kind } from './frame.ts';
import { encodeHello, type Hello, protocolVersions } from './hello.ts';
import type { Address, Stream, Transport } from './stream.ts';

export const fuzzHello: Hello = {
  protocols: protocolVersions,
  kind: 'session',
  program: 'fuzz',
  processId: 1,
  clientId: 'fuzz',
  subvolume: 'b',
  volumeId: '',
  subdirectory: '',
  user: '',
  password: '',
  opVersion: 0,
  sessionId: '',
  features: [],
};

export interface FrameFields {
  length?: number;
  id?: number;
  op?: number;
  flags?: number;
  meta?: Uint8Array;
  payload?: Uint8Array;
  metaBytes?: number;
  payloadBytes?: number;
  cookieLow?: number;
  cookieHigh?: number;
}

/** Any frame, also one whose header lies. */
export function frameOf(fields: FrameFields): Buffer {
  const meta = fields.meta ?? Buffer.alloc(0);
  const payload = fields.payload ?? Buffer.alloc(0);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(fields.length ?? headerBytes + meta.length + payload.length, 0);
  header.writeUInt32LE(fields.id ?? 1, 4);
  header.writeUInt16LE(fields.op ?? 1, 8);
  header.writeUInt16LE(fields.flags ?? flagsOf(Kind.request, Channel.fop), 10);
  header.writeUInt32LE(fields.metaBytes ?? meta.length, 16);
  header.writeUInt32LE(fields.payloadBytes ?? payload.length, 20);
  header.writeUInt32LE(fields.cookieLow ?? 1, 24);
  header.writeUInt32LE(fields.cookieHigh ?? 0, 28);
  return Buffer.concat([header, meta, payload]);
}

export function helloFrame(hello: Hello = fuzzHello): Buffer {
  return frameOf({ op: Control.hello, flags: flagsOf(Kind.request, Channel.control), meta: encodeHello(hello) });
}

/** One frame, mostly wrong in one of many ways; some are right. */
export function randomFrame(random: Random): Buffer {
  const meta = random.bytes(random.integer(120));
  const base: FrameFields = { id: 1 + random.integer(1 << 20), op: random.integer(60), meta };
  switch (random.integer(10)) {
    case 0:
      return Buffer.from(random.bytes(headerBytes + random.integer(200)));
    case 1:
      return frameOf({ ...base, metaBytes: random.integer(2 ** 32) });
    case 2:
      return frameOf({ ...base, payloadBytes: random.integer(2 ** 32), length: random.integer(2 ** 32) });
    case 3:
      return frameOf({ ...base, flags: random.integer(2 ** 16) });
    case 4:
      return frameOf({ ...base, cookieHigh: random.integer(2 ** 32), cookieLow: random.integer(2 ** 32) });
    case 5:
      return frameOf(base).subarray(0, random.integer(headerBytes + meta.length));
    case 6:
      return frameOf({ ...base, flags: flagsOf(Kind.notice, Channel.fop), op: random.integer(6) });
    case 7:
      return frameOf({ ...base, payload: random.bytes(random.integer(3000)) });
    case 8:
      return frameOf({ ...base, flags: flagsOf(Kind.request, Channel.control), op: random.integer(5) });
    default:
      return frameOf(base);
  }
}

export interface Throw {
  transport: Transport;
  address: Address;
  clock: Clock;
  bytes: Uint8Array;
  /** A proper handshake goes first; the server reads nothing before it is decided, so the rest waits for the answer. */
  afterHello: boolean;
  /** How long the server may take to close the connection. */
  patienceMs: number;
}

/** Sends bytes over a connection of its own; resolves when the server closed it, or when patience ends. */
export async function throwBytes(options: Throw): Promise<'closed' | 'open'> {
  const { transport, address, clock, bytes, afterHello, patienceMs } = options;
  const stream: Stream = await transport.connect(address);
  const scratch = Buffer.alloc(64 * 1024);
  let isSent = !afterHello;
  return new Promise((resolve) => {
    const timer = clock.after(patienceMs, () => {
      stream.destroy();
      resolve('open');
    });
    stream.start({
      space: () => scratch,
      received: () => {
        if (!isSent) stream.write([bytes], () => undefined);
        isSent = true;
      },
      drained: () => undefined,
      closed: () => {
        timer.cancel();
        resolve('closed');
      },
    });
    stream.write([afterHello ? helloFrame() : bytes], () => undefined);
  });
}
