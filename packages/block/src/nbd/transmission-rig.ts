/** For tests: a transmission over a stream in memory, with a client that sends what it is given and reads what is answered. */
import { type MemoryPolicy, MemoryStream } from '@mortar/rpc/transports/memory.ts';
import { expect } from 'vitest';
import type { Answer, BlockDevice, Traits } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { PassingDevice } from '../device/passing.ts';
import { type Answered, ReplyReader, type RequestFields, requestBytesOf } from './client-rig.ts';
import { Command } from './constants.ts';
import type { Style } from './replies.ts';
import { Transmission, type TransmissionLimits } from './transmission.ts';

export const sizeBytes = 2 * 1024 * 1024;

/** Answers some turns later, in an order of its own; does not take pieces of writes. */
export class LateDevice extends PassingDevice {
  readonly #streams: boolean;
  #seed = 1;
  underWay = 0;

  constructor(below: BlockDevice, streams: boolean) {
    super(below);
    this.#streams = streams;
  }

  override get traits(): Traits {
    return { ...this.below.traits, streams: this.#streams };
  }

  async #late<T>(run: () => Answer<T>): Promise<T> {
    this.underWay++;
    this.#seed = (this.#seed * 75 + 74) % 65537;
    for (let turns = this.#seed % 5; turns > 0; turns--) await new Promise(setImmediate);
    const answer = await run();
    this.underWay--;
    return answer;
  }

  override read(offset: number, length: number) {
    return this.#late(() => this.below.read(offset, length));
  }

  override write(offset: number, bytes: Uint8Array, fua: boolean) {
    return this.#late(() => this.below.write(offset, bytes, fua));
  }

  override zero(offset: number, length: number, how: Parameters<BlockDevice['zero']>[2]) {
    return this.#late(() => this.below.zero(offset, length, how));
  }

  override flush() {
    return this.#late(() => this.below.flush());
  }
}

interface RigOptions {
  style?: Style;
  device?: BlockDevice;
  allocation?: boolean;
  limits?: TransmissionLimits;
  policy?: MemoryPolicy;
  rest?: Buffer;
}

export function transmissionRig(options: RigOptions = {}) {
  const { style = 'simple', device = new MemoryDevice({ sizeBytes, pageBytes: 4096 }), allocation = true } = options;
  const [near, far] = options.policy ? MemoryStream.pair('test', options.policy) : MemoryStream.pair('test');
  const lengths = new Map<number, number>();
  const reader = new ReplyReader((cookie) => lengths.get(cookie) ?? 0);
  const end: { why: string | null | undefined; released: number } = { why: undefined, released: 0 };
  const opened = { name: 'vol', description: '', device, mayResize: true, release: () => undefined };
  const transmission = new Transmission({
    agreement: { opened, structured: style !== 'simple', extended: style === 'extended', allocation },
    stream: far,
    later: setImmediate,
    ...(options.limits ? { limits: options.limits } : {}),
    ended: (why) => {
      end.why = why;
      end.released++;
    },
  });
  transmission.start(options.rest ?? Buffer.alloc(0));
  const received = { bytes: 0 };
  const buffer = Buffer.alloc(65536);
  near.start({
    space: () => buffer,
    received: (count) => {
      received.bytes += count;
      reader.feed(Buffer.from(buffer.subarray(0, count)));
    },
    drained: () => undefined,
    closed: () => undefined,
  });
  const bytesOf = (fields: RequestFields) => {
    if (fields.type === Command.READ) lengths.set(fields.cookie, fields.length ?? 0);
    return requestBytesOf(fields, style === 'extended');
  };
  const send = (...bytes: Uint8Array[]) => near.write(bytes, () => undefined);
  const until = async (count: number) => {
    for (let turns = 0; reader.order.length < count && turns < 5000; turns++) await new Promise(setImmediate);
    expect(reader.order.length).toBe(count);
  };
  const ask = async (fields: Omit<RequestFields, 'cookie'>): Promise<Answered> => {
    const cookie = reader.order.length + 1000;
    send(bytesOf({ ...fields, cookie }));
    await until(reader.order.length + 1);
    return reader.answers.get(cookie)!;
  };
  const ended = async () => {
    for (let turns = 0; end.why === undefined && turns < 5000; turns++) await new Promise(setImmediate);
    return end.why;
  };
  return { near, reader, send, bytesOf, until, ask, end, ended, device, transmission, received };
}

/** The bytes of a read, of chunks that lie next to each other in any order. */
export function dataOf(answer: Answered, offset: number, length: number): Buffer {
  const whole = Buffer.alloc(length);
  let got = 0;
  for (const part of answer.parts) {
    part.bytes.copy(whole, part.offset < 0 ? 0 : part.offset - offset);
    got += part.bytes.length;
  }
  expect(got).toBe(length);
  return whole;
}

export const styles: readonly Style[] = ['simple', 'structured', 'extended'];
