/** For tests: a session over a channel that keeps the replies, and requests built byte by byte. */
import { parseOptions, type Services, type Subvolume, type XlatorInit } from '@mortar/core';
import { rigServices } from '@mortar/xlators/lib/translator-rig.ts';
import { type Memory, xlator } from '@mortar/xlators/storage/memory/index.ts';
import { type OpName, opcodes } from '../protocol/index.ts';
import { noGroups } from './call.ts';
import { defaultSessionOptions, type SessionOptions } from './options.ts';
import { type Channel, Session } from './session.ts';

export const u32 = (...values: number[]) => Buffer.from(new Uint32Array(values).buffer);
export const u64 = (...values: number[]) => Buffer.from(new BigUint64Array(values.map(BigInt)).buffer);
export const text = (...names: string[]) => Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');

export interface Answer {
  unique: number;
  errno: number;
  body: Buffer;
}

export class RecordingChannel implements Channel {
  readonly answers: Answer[] = [];
  readonly notices: Buffer[] = [];
  /** What the next write says; 0: taken. */
  refuseWith = 0;
  spareBuffers = true;
  readonly buffersDone: { bytes: Buffer; reusable: boolean }[] = [];
  /** Numbers of the files that were made known and not taken back. */
  readonly backings = new Set<number>();
  backingsRefusedWith = 0;
  #lastBacking = 0;

  write(bytes: Uint8Array, length: number): number {
    if (this.refuseWith !== 0) return -this.refuseWith;
    const copy = Buffer.from(bytes.subarray(0, length));
    this.answers.push({ unique: copy.readUInt32LE(8), errno: Math.abs(copy.readInt32LE(4)), body: copy.subarray(16) });
    return length;
  }

  writeTwo(bytes: Uint8Array, length: number, payload: Uint8Array): number {
    const whole = Buffer.concat([bytes.subarray(0, length), payload]);
    return this.write(whole, whole.length);
  }

  spare(): boolean {
    return this.spareBuffers;
  }

  done(bytes: Buffer, reusable: boolean): void {
    this.buffersDone.push({ bytes, reusable });
  }

  notify(message: Buffer): void {
    this.notices.push(message);
  }

  openBacking(): number {
    if (this.backingsRefusedWith !== 0) return -this.backingsRefusedWith;
    this.backings.add(++this.#lastBacking);
    return this.#lastBacking;
  }

  closeBacking(id: number): void {
    this.backings.delete(id);
  }
}

export class SessionRig {
  readonly channel = new RecordingChannel();
  readonly session: Session;
  #unique = 0;

  constructor(services: Services, options: Partial<SessionOptions> = {}, top?: Subvolume) {
    this.session = new Session(this.channel, services, { ...defaultSessionOptions, ...options }, 'client', noGroups);
    if (top) void this.session.setGraph(top);
  }

  /** Sends a request and gives its unique number back. */
  send(op: OpName | number, nodeId: number, ...parts: Buffer[]): number {
    const body = Buffer.concat(parts);
    const bytes = Buffer.from(new ArrayBuffer(40 + Math.ceil(body.length / 8) * 8));
    const unique = ++this.#unique * 2;
    bytes.writeUInt32LE(40 + body.length, 0);
    bytes.writeUInt32LE(typeof op === 'number' ? op : opcodes[op], 4);
    bytes.writeUInt32LE(unique, 8);
    bytes.writeUInt32LE(nodeId, 16);
    body.copy(bytes, 40);
    this.session.receive(bytes, 40 + body.length);
    return unique;
  }

  answerTo(unique: number): Answer | undefined {
    return this.channel.answers.find((answer) => answer.unique === unique);
  }

  /** Sends a request and waits for its answer. */
  async ask(op: OpName | number, nodeId: number, ...parts: Buffer[]): Promise<Answer> {
    const unique = this.send(op, nodeId, ...parts);
    for (let turn = 0; turn < 100; turn++) {
      const answer = this.answerTo(unique);
      if (answer) return answer;
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error(`${op} got no answer`);
  }

  async expect(op: OpName, nodeId: number, ...parts: Buffer[]): Promise<Buffer> {
    const { errno, body } = await this.ask(op, nodeId, ...parts);
    if (errno !== 0) throw new Error(`${op} failed: errno ${errno}`);
    return body;
  }

  /** Node and handle of a new file in the root. */
  async create(name: string, flags = 0o2): Promise<{ node: number; fh: number }> {
    const body = await this.expect('create', 1, u32(flags | 0o100, 0o644, 0, 0), text(name));
    return { node: Number(body.readBigUInt64LE(0)), fh: Number(body.readBigUInt64LE(128)) };
  }

  write(fh: number, node: number, data: string, more: { offset?: number; writeFlags?: number; flags?: number } = {}) {
    const { offset = 0, writeFlags = 0, flags = 2 } = more;
    const bytes = Buffer.from(data);
    return this.ask('write', node, u64(fh, offset), u32(bytes.length, writeFlags), u64(0), u32(flags, 0), bytes);
  }

  read(fh: number, node: number, size = 4096, offset = 0) {
    return this.ask('read', node, u64(fh, offset), u32(size, 0), u64(0), u32(2, 0));
  }
}

/** A volume in memory. */
export function memory(services: Services): Memory {
  const init = {
    name: 'memory',
    type: xlator.type,
    options: parseOptions(xlator.options, new Map()).values,
    texts: new Map(),
    services,
  };
  const made = xlator.create(init as unknown as XlatorInit<typeof xlator.options>) as Memory;
  made.bind([], undefined);
  return made;
}

/** A session over a volume in memory, with a clock that stands. */
export function mounted(options: Partial<SessionOptions> = {}) {
  const services = rigServices();
  const storage = memory(services);
  const top = storage.ops;
  return { services, top, storage, rig: new SessionRig(services, options, top) };
}

/** Of getlk, setlk and setlkw. */
export function lockBody(fh: number, owner: number, start: number, end: number, type: number, flags = 0): Buffer[] {
  return [u64(fh, owner, start, end), u32(type, 42, flags, 0)];
}
