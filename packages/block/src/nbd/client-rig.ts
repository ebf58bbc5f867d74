/** The other end, for tests: makes requests byte by byte and takes answers apart. */
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { MemoryDevice } from '../device/memory.ts';
import { putU64, u16Bytes, u32Bytes } from './codec.ts';
import { Chunk, extendedReplyMagic, optionMagic, simpleReplyMagic, structuredReplyMagic } from './constants.ts';
import type { Client, ExportInfo, ExportSource } from './exports.ts';

export interface RequestFields {
  readonly type: number;
  readonly flags?: number;
  readonly cookie: number;
  readonly offset?: number;
  readonly length?: number;
  readonly payload?: Uint8Array;
}

export function requestBytesOf(fields: RequestFields, extended = false): Buffer {
  const { type, flags = 0, cookie, offset = 0, payload, length = payload?.length ?? 0 } = fields;
  const bytes = Buffer.alloc(extended ? 32 : 28);
  bytes.writeUInt32BE(extended ? 0x21e41c71 : 0x25609513, 0);
  bytes.writeUInt16BE(flags | (extended && payload ? 32 : 0), 4);
  bytes.writeUInt16BE(type, 6);
  putU64(bytes, cookie, 8);
  putU64(bytes, offset, 16);
  if (extended) putU64(bytes, length, 24);
  else bytes.writeUInt32BE(length, 24);
  return payload ? Buffer.concat([bytes, payload]) : bytes;
}

export function optionBytes(option: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64BE(optionMagic, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

export function infoData(name: string, ...wanted: number[]): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([u32Bytes(bytes.length), bytes, u16Bytes(wanted.length, ...wanted)]);
}

export function contextData(name: string, ...queries: string[]): Buffer {
  const text = (one: string) => Buffer.concat([u32Bytes(Buffer.byteLength(one)), Buffer.from(one)]);
  return Buffer.concat([text(name), u32Bytes(queries.length), ...queries.map(text)]);
}

/** What came for one cookie. */
export interface Answered {
  error: number;
  /** Of a read: what is known of its bytes; gaps stay -1. */
  readonly parts: { readonly offset: number; readonly bytes: Buffer; readonly hole: boolean }[];
  readonly extents: { readonly length: number; readonly flags: number }[];
  done: boolean;
}

/** Takes replies apart. `lengthOf`: of the read that a simple reply answers (0 for other requests). */
export class ReplyReader {
  readonly answers = new Map<number, Answered>();
  readonly order: number[] = [];
  readonly #lengthOf: (cookie: number) => number;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(lengthOf: (cookie: number) => number) {
    this.#lengthOf = lengthOf;
  }

  get isMidway(): boolean {
    return this.#bytes.length > 0;
  }

  feed(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (let taken = this.#take(); taken > 0; taken = this.#take()) this.#bytes = this.#bytes.subarray(taken);
  }

  #take(): number {
    const bytes = this.#bytes;
    if (bytes.length < 16) return 0;
    const magic = bytes.readUInt32BE(0);
    if (magic === simpleReplyMagic) return this.#simple(bytes);
    const extended = magic === extendedReplyMagic;
    if (!extended && magic !== structuredReplyMagic) throw new Error(`${magic.toString(16)} is the magic of no reply`);
    const head = extended ? 32 : 20;
    if (bytes.length < head) return 0;
    const length = extended ? Number(bytes.readBigUInt64BE(24)) : bytes.readUInt32BE(16);
    if (bytes.length < head + length) return 0;
    this.#chunk(bytes, bytes.subarray(head, head + length), extended);
    return head + length;
  }

  #answer(cookie: number): Answered {
    const found = this.answers.get(cookie) ?? { error: 0, parts: [], extents: [], done: false };
    if (found.done) throw new Error(`request ${cookie} was answered twice`);
    this.answers.set(cookie, found);
    return found;
  }

  #finish(cookie: number, answer: Answered): void {
    answer.done = true;
    this.order.push(cookie);
  }

  #simple(bytes: Buffer): number {
    const cookie = Number(bytes.readBigUInt64BE(8));
    const error = bytes.readUInt32BE(4);
    const length = error === 0 ? this.#lengthOf(cookie) : 0;
    if (bytes.length < 16 + length) return 0;
    const answer = this.#answer(cookie);
    answer.error = error;
    if (length > 0) answer.parts.push({ offset: -1, bytes: bytes.subarray(16, 16 + length), hole: false });
    this.#finish(cookie, answer);
    return 16 + length;
  }

  #chunk(head: Buffer, payload: Buffer, extended: boolean): void {
    const cookie = Number(head.readBigUInt64BE(8));
    const type = head.readUInt16BE(6);
    const answer = this.#answer(cookie);
    if (type === Chunk.OFFSET_DATA)
      answer.parts.push({ offset: Number(payload.readBigUInt64BE(0)), bytes: payload.subarray(8), hole: false });
    else if (type === Chunk.OFFSET_HOLE)
      answer.parts.push({
        offset: Number(payload.readBigUInt64BE(0)),
        bytes: Buffer.alloc(payload.readUInt32BE(8)),
        hole: true,
      });
    else if (type === Chunk.ERROR) answer.error = payload.readUInt32BE(0);
    else if (type === Chunk.BLOCK_STATUS && !extended)
      for (let at = 4; at < payload.length; at += 8)
        answer.extents.push({ length: payload.readUInt32BE(at), flags: payload.readUInt32BE(at + 4) });
    else if (type === Chunk.BLOCK_STATUS_EXT && extended) {
      if (payload.readUInt32BE(4) * 16 + 8 !== payload.length) throw new Error('a count of extents that is wrong');
      for (let at = 8; at < payload.length; at += 16)
        answer.extents.push({
          length: Number(payload.readBigUInt64BE(at)),
          flags: Number(payload.readBigUInt64BE(at + 8)),
        });
    } else if (type !== Chunk.NONE) throw new Error(`chunk type ${type}`);
    if ((head.readUInt16BE(4) & 1) !== 0) this.#finish(cookie, answer);
  }
}

export function exportsOf(...exports: ExportInfo[]): ExportSource & { openCount: number } {
  const find = (name: string, _client: Client) =>
    exports.find((one) => one.name === name) ?? (name === '' ? (exports[0] ?? null) : null);
  const source = {
    openCount: 0,
    list: () => exports,
    find,
    open: (name: string, client: Client) => {
      const found = find(name, client);
      if (!found) return null;
      source.openCount++;
      return { ...found, release: () => void source.openCount-- };
    },
  };
  return source;
}

export function exportOf(name: string, sizeBytes = 1024 * 1024): ExportInfo {
  return { name, description: '', device: new MemoryDevice({ sizeBytes, pageBytes: 4096 }), mayResize: true };
}

/** A client by hand over a socket. */
export class RawClient {
  duplex: Duplex;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;
  isClosed = false;

  constructor(duplex: Duplex) {
    this.duplex = duplex;
    this.#listen(duplex);
  }

  static async connect(port: number): Promise<RawClient> {
    const socket: Socket = connect({ host: '127.0.0.1', port });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RawClient(socket);
  }

  #listen(duplex: Duplex): void {
    duplex.on('data', this.#onData);
    duplex.on('error', () => undefined);
    duplex.on('close', () => {
      if (duplex !== this.duplex) return;
      this.isClosed = true;
      this.#wake?.();
    });
  }

  readonly #onData = (data: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, data]);
    this.#wake?.();
  };

  /** Goes on over TLS. */
  become(duplex: Duplex): void {
    this.duplex = duplex;
    this.#listen(duplex);
  }

  /** Stops reading the plain socket, which TLS takes over. */
  detach(): void {
    this.duplex.removeListener('data', this.#onData);
  }

  send(...bytes: Uint8Array[]): void {
    this.duplex.write(Buffer.concat(bytes));
  }

  /** Exactly so many bytes; throws when the connection ends before. */
  async take(count: number): Promise<Buffer> {
    while (this.#bytes.length < count) {
      if (this.isClosed) throw new Error(`closed after ${this.#bytes.length} of ${count} bytes`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  async closed(): Promise<void> {
    while (!this.isClosed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  async optionReply(): Promise<{ option: number; type: number; data: Buffer }> {
    const head = await this.take(20);
    return {
      option: head.readUInt32BE(8),
      type: head.readUInt32BE(12),
      data: await this.take(head.readUInt32BE(16)),
    };
  }

  /** Sends an option; its replies up to the last one. */
  async option(option: number, data?: Uint8Array): Promise<{ type: number; data: Buffer }[]> {
    this.send(optionBytes(option, data));
    const replies = [];
    for (;;) {
      const reply = await this.optionReply();
      replies.push(reply);
      if (reply.type === 1 || reply.type >= 2 ** 31) return replies;
    }
  }

  /** Greeting and flags. */
  async greet(flags = 3): Promise<void> {
    await this.take(18);
    this.send(u32Bytes(flags));
  }

  async go(name = 'vol'): Promise<void> {
    await this.greet();
    const replies = await this.option(7, infoData(name));
    if (replies.at(-1)!.type !== 1) throw new Error(`GO was answered with ${replies.at(-1)!.type}`);
  }

  /** A request with a simple reply; `error`, and the data of a read. */
  async request(fields: Omit<RequestFields, 'cookie'>): Promise<{ error: number; data: Buffer }> {
    this.send(requestBytesOf({ ...fields, cookie: 7 }));
    const reply = await this.take(16);
    const error = reply.readUInt32BE(4);
    const data = fields.type === 0 && error === 0 ? await this.take(fields.length ?? 0) : Buffer.alloc(0);
    return { error, data };
  }

  end(): void {
    this.duplex.destroy();
  }
}
