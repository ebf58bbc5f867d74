/** The kernel's side is played by the test: packets over a socket pair in place of /dev/fuse. */
import { Errno, type Log } from '@mortar/core';
import { opcodes } from '@mortar/fuse-mount/protocol/constants.ts';
import { AF_UNIX, close, read, SOCK_NONBLOCK, SOCK_SEQPACKET, socketpair, write } from '@mortar/libc';
import { afterEach, describe, expect, it } from 'vitest';
import { bytesOf, pattern } from '../device/conformance.ts';
import { type Answer, type BlockDevice, type Done, type ReadReply, refuse } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { PassingDevice } from '../device/passing.ts';
import { FuseFile } from './fuse-file.ts';
import type { WaitingLimits } from './waiting-requests.ts';

const lines: string[] = [];
const log: Log = { level: 'INFO', setLevel: () => {}, write: (_level, _origin, text) => void lines.push(text) };
const sizeBytes = 1 << 20;
const u32 = (...values: number[]) => Buffer.from(new Uint32Array(values).buffer);
const u64 = (...values: number[]) => Buffer.from(new BigUint64Array(values.map(BigInt)).buffer);

/** Answers when it is told to, in pieces, or throws. */
class OddDevice extends PassingDevice {
  held: (() => void)[] | null = null;
  throws = false;

  #later<T>(answer: () => Answer<T>): Answer<T> {
    if (this.throws) throw new Error('a bug of the device');
    if (!this.held) return answer();
    return new Promise<void>((resolve) => this.held!.push(resolve)).then(answer);
  }

  override read(offset: number, length: number): Answer<ReadReply> {
    return this.#later<ReadReply>(async () => {
      const reply = await this.below.read(offset, length);
      if (!reply.ok) return reply;
      const whole = Buffer.concat(reply.pieces);
      const pieces = [];
      for (let at = 0; at < whole.length; at += 5000) pieces.push(whole.subarray(at, at + 5000));
      return { ok: true, pieces };
    });
  }

  override write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    return this.#later(() => this.below.write(offset, bytes, fua));
  }

  override flush(): Answer<Done> {
    return this.#later(() => this.below.flush());
  }

  release(): void {
    const held = this.held ?? [];
    this.held = null;
    for (const go of held) go();
  }
}

class Kernel {
  readonly below: MemoryDevice;
  readonly device: OddDevice;
  readonly file: FuseFile;
  readonly #fd: number;
  readonly #answers = new Map<bigint, { errno: number; body: Buffer }>();
  readonly #into = Buffer.alloc(256 * 1024);
  #unique = 2n;
  twice = 0;

  constructor(
    more: { readOnly?: boolean; agreed?: { maxWrite: number; canResend: boolean }; limits?: WaitingLimits } = {},
  ) {
    const pair = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK) as [number, number];
    this.#fd = pair[0];
    this.below = new MemoryDevice({ sizeBytes, ...(more.readOnly ? { readOnly: true } : {}) });
    this.device = new OddDevice(this.below);
    const { agreed, limits } = more;
    const options = { ...(agreed ? { agreed } : {}), ...(limits ? { limits } : {}) };
    this.file = new FuseFile({ fd: pair[1], name: 'osl:x', device: this.device as BlockDevice, log, ...options });
  }

  send(op: number, body: Buffer, flag = 0n): bigint {
    const unique = this.#unique | flag;
    this.#unique += 2n;
    const head = Buffer.alloc(40);
    head.writeUInt32LE(40 + body.length, 0);
    head.writeUInt32LE(op, 4);
    head.writeBigUInt64LE(unique, 8);
    head.writeBigUInt64LE(1n, 16);
    const packet = Buffer.concat([head, body]);
    expect(write(this.#fd, packet)).toBe(packet.length);
    return unique;
  }

  /** Any bytes. */
  sendRaw(bytes: Buffer): void {
    write(this.#fd, bytes);
  }

  #receive(): void {
    for (;;) {
      const length = read(this.#fd, this.#into);
      if (length <= 0) return;
      expect(this.#into.readUInt32LE(0)).toBe(length);
      const unique = this.#into.readBigUInt64LE(8);
      if (this.#answers.has(unique)) this.twice++;
      const body = Buffer.from(this.#into.subarray(16, length));
      this.#answers.set(unique, { errno: 0 - this.#into.readInt32LE(4), body });
    }
  }

  async answer(unique: bigint): Promise<{ errno: number; body: Buffer }> {
    for (let i = 0; i < 2000; i++) {
      this.#receive();
      const found = this.#answers.get(unique);
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    throw new Error(`no answer to ${unique}`);
  }

  isAnswered(unique: bigint): boolean {
    this.#receive();
    return this.#answers.has(unique);
  }

  ask(op: number, ...parts: Buffer[]): Promise<{ errno: number; body: Buffer }> {
    return this.answer(this.send(op, Buffer.concat(parts)));
  }

  read(offset: number, size: number) {
    return this.ask(opcodes.read, u64(1, offset), u32(size, 0), u64(0), u32(0, 0));
  }

  writeBody(offset: number, data: Buffer): Buffer {
    return Buffer.concat([u64(1, offset), u32(data.length, 0), u64(0), u32(0, 0), data]);
  }

  write(offset: number, data: Buffer) {
    return this.answer(this.send(opcodes.write, this.writeBody(offset, data)));
  }

  allocate(mode: number, offset: number, length: number) {
    return this.ask(opcodes.fallocate, u64(1, offset, length), u32(mode, 0));
  }

  async init(flags = 0xffff_ffff, flags2 = 0xffff_ffff) {
    const started = this.file.start();
    const reply = await this.ask(opcodes.init, u32(7, 45, 1 << 20, flags, flags2), Buffer.alloc(44));
    return { reply, agreed: await started };
  }

  end(): void {
    this.file.end();
    close(this.#fd);
  }
}

let kernel: Kernel;
const open: Kernel[] = [];
const make = (more = {}) => {
  kernel = new Kernel(more);
  open.push(kernel);
  return kernel;
};
afterEach(() => {
  for (const one of open.splice(0)) {
    expect(one.twice).toBe(0);
    one.end();
  }
  lines.length = 0;
});

describe('a FUSE file', () => {
  it('agrees on asynchronous direct I/O, long requests, many at a time, and on sending again', async () => {
    const { reply, agreed } = await make().init();
    expect(agreed).toEqual({ maxWrite: 1 << 20, canResend: true });
    const flags = reply.body.readUInt32LE(12);
    expect(flags & (1 << 15)).not.toBe(0);
    expect(flags & (1 << 22)).not.toBe(0);
    expect(reply.body.readUInt16LE(16)).toBeGreaterThanOrEqual(256);
    expect([reply.body.readUInt32LE(20), reply.body.readUInt32LE(32)]).toEqual([1 << 20, 1 << 7]);
  });

  it('knows when the kernel cannot send again, and refuses one without asynchronous direct I/O', async () => {
    expect((await make().init(0xffff_ffff, 0)).agreed).toEqual({ maxWrite: 1 << 20, canResend: false });
    const { reply, agreed } = await make().init(0);
    expect([agreed, reply.errno]).toEqual([null, Errno.EPROTO]);
  });

  it('is read and written, in pieces too, and ends where the device does', async () => {
    await make().init();
    const data = pattern(12_345, 7);
    expect((await kernel.write(1000, data)).body.readUInt32LE(0)).toBe(12_345);
    expect((await kernel.read(1000, 12_345)).body.equals(data)).toBe(true);
    expect((await kernel.read(1000, 700)).body.equals(data.subarray(0, 700))).toBe(true);
    expect((await kernel.read(sizeBytes - 100, 4096)).body).toHaveLength(100);
    expect((await kernel.read(sizeBytes + 4096, 4096)).body).toHaveLength(0);
    expect((await kernel.write(sizeBytes - 10, data)).errno).toBe(Errno.ENOSPC);
    expect((await kernel.ask(opcodes.fsync, u64(1), u32(0, 0))).errno).toBe(0);
  });

  it('punches holes that read as zeroes, zeroes, and refuses other kinds of allocation', async () => {
    await make().init();
    await kernel.write(0, pattern(100_000, 3));
    expect((await kernel.allocate(3, 4096, 4096)).errno).toBe(0);
    expect((await kernel.allocate(0x11, 16_384, 4096)).errno).toBe(0);
    const now = bytesOf(await kernel.below.read(0, 100_000));
    const expected = Buffer.from(pattern(100_000, 3)).fill(0, 4096, 8192).fill(0, 16_384, 20_480);
    expect(now.equals(expected)).toBe(true);
    for (const mode of [0, 1, 0x08, 0x20, 0x41])
      expect((await kernel.allocate(mode, 0, 4096)).errno, `mode ${mode}`).toBe(Errno.EOPNOTSUPP);
    expect((await kernel.allocate(3, 2 * sizeBytes, 4096)).errno).toBe(Errno.ENOSPC);
    expect((await kernel.allocate(3, sizeBytes - 4096, 8192)).errno).toBe(0);
  });

  it('has the size of the device, and is neither cut nor given away', async () => {
    await make().init();
    const { body } = await kernel.ask(opcodes.getattr, u32(0, 0), u64(0));
    expect([Number(body.readBigUInt64LE(24)), body.readUInt32LE(76)]).toEqual([sizeBytes, 0o100600]);
    const set = (valid: number, size: number) => {
      const args = Buffer.alloc(88);
      args.writeUInt32LE(valid, 0);
      args.writeBigUInt64LE(BigInt(size), 16);
      return kernel.ask(opcodes.setattr, args);
    };
    expect((await set(1 << 3, 0)).errno).toBe(Errno.EPERM);
    expect((await set(1 << 0, 0)).errno).toBe(Errno.EPERM);
    expect((await set(1 << 3, sizeBytes)).errno).toBe(0);
    expect((await set(1 << 5, 0)).errno).toBe(0);
  });

  it('is opened for reading only where nothing may be written', async () => {
    await make({ readOnly: true }).init();
    expect((await kernel.ask(opcodes.open, u32(2, 0))).errno).toBe(Errno.EROFS);
    expect((await kernel.ask(opcodes.open, u32(0, 0))).errno).toBe(0);
  });

  it('does without what it has not', async () => {
    await make().init();
    for (const op of ['flush', 'access', 'getxattr', 'lseek', 'ioctl', 'lookup'] as const)
      expect((await kernel.ask(opcodes[op], Buffer.alloc(64))).errno, op).toBe(Errno.ENOSYS);
    expect((await kernel.ask(60_000, Buffer.alloc(8))).errno).toBe(Errno.ENOSYS);
    const forget = kernel.send(opcodes.forget, u64(1));
    await kernel.read(0, 512);
    expect(kernel.isAnswered(forget)).toBe(false);
  });

  it('refuses requests that are cut short, and goes on', async () => {
    await make().init();
    for (const op of ['read', 'write', 'fallocate', 'setattr', 'open'] as const)
      expect((await kernel.ask(opcodes[op], Buffer.alloc(4))).errno, op).toBe(Errno.EINVAL);
    const lying = Buffer.concat([u64(1, 0), u32(4096, 0), u64(0), u32(0, 0), Buffer.alloc(100)]);
    expect((await kernel.ask(opcodes.write, lying)).errno).toBe(Errno.EINVAL);
    kernel.sendRaw(Buffer.alloc(10));
    expect((await kernel.read(0, 512)).errno).toBe(0);
  });

  it('answers with an error when the device throws, and says so in the log', async () => {
    await make().init();
    kernel.device.throws = true;
    expect((await kernel.write(0, Buffer.alloc(512))).errno).toBe(Errno.EIO);
    expect((await kernel.read(0, 512)).errno).toBe(Errno.EIO);
    expect(lines.join()).toContain('a bug of the device');
    kernel.device.throws = false;
    kernel.device.flush = () => refuse(Errno.ENOSYS);
    expect((await kernel.ask(opcodes.fsync, u64(1), u32(0, 0))).errno).toBe(Errno.EOPNOTSUPP);
  });

  it('answers in whatever order the device does, also when payloads have to be copied', async () => {
    await make().init();
    kernel.device.held = [];
    const count = 16;
    const asked = Array.from({ length: count }, (_, i) =>
      kernel.send(opcodes.write, kernel.writeBody(i * 4096, pattern(4096, i))),
    );
    for (let i = 0; i < 2000 && kernel.device.held.length < count; i++)
      await new Promise((resolve) => setTimeout(resolve, 1));
    expect([kernel.device.held.length, kernel.file.inFlight]).toEqual([count, count]);
    kernel.device.held.reverse();
    kernel.device.release();
    for (const unique of asked) expect((await kernel.answer(unique)).errno).toBe(0);
    for (let i = 0; i < count; i++)
      expect(bytesOf(await kernel.below.read(i * 4096, 4096)).equals(pattern(4096, i)), `block ${i}`).toBe(true);
    expect(kernel.file.inFlight).toBe(0);
  });

  it('answers all that waits at once when it fails, and what comes later, and nothing twice', async () => {
    await make().init();
    kernel.device.held = [];
    const asked = [
      kernel.send(opcodes.write, kernel.writeBody(0, Buffer.alloc(512))),
      kernel.send(opcodes.read, Buffer.concat([u64(1, 0), u32(512, 0), u64(0), u32(0, 0)])),
    ];
    for (let i = 0; i < 2000 && kernel.file.inFlight < 2; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    kernel.file.fail();
    for (const unique of asked) expect((await kernel.answer(unique)).errno).toBe(Errno.EIO);
    expect((await kernel.read(0, 512)).errno).toBe(Errno.EIO);
    kernel.device.release();
    expect((await kernel.ask(opcodes.fsync, u64(1), u32(0, 0))).errno).toBe(Errno.EIO);
  });

  it.each([
    ['requests', { requests: 4, keptPayloads: 99, payloadBytes: 2 ** 30 }, 4],
    ['receive buffers', { requests: 99, keptPayloads: 3, payloadBytes: 2 ** 30 }, 3],
    ['bytes of payloads', { requests: 99, keptPayloads: 99, payloadBytes: 150_000 }, 4],
  ])(
    'leaves in the kernel what comes beyond its bound of %s, until something is answered',
    async (_of, limits, most) => {
      await make({ limits }).init();
      kernel.device.held = [];
      const count = 6;
      const asked: bigint[] = [];
      for (let i = 0; i < count; i++)
        asked.push(kernel.send(opcodes.write, kernel.writeBody(i * 40_000, pattern(40_000, i))));
      const settle = async () => {
        for (let i = 0; i < 50; i++) await new Promise((resolve) => setTimeout(resolve, 1));
      };
      await settle();
      // One may have been received already when the last was taken.
      expect([most, most + 1]).toContain(kernel.file.inFlight);
      kernel.device.held.shift()!();
      await kernel.answer(asked[0]!);
      await settle();
      expect([most, most + 1]).toContain(kernel.file.inFlight);
      // What is given up waits for nobody, whatever the device still holds.
      kernel.file.fail();
      for (const unique of asked.slice(1)) expect((await kernel.answer(unique)).errno).toBe(Errno.EIO);
      expect((await kernel.read(0, 512)).errno).toBe(Errno.EIO);
      kernel.device.release();
      await settle();
      expect(kernel.file.inFlight).toBe(0);
    },
  );

  it('goes on with what another run had agreed on: first it asks for what that one left', async () => {
    make({ agreed: { maxWrite: 1 << 20, canResend: true } });
    kernel.file.resend();
    // unique 0, and the code of the notification in place of the errno.
    expect((await kernel.answer(0n)).errno).toBe(-7);
    expect(await kernel.file.start()).toEqual({ maxWrite: 1 << 20, canResend: true });
    const again = kernel.send(opcodes.write, kernel.writeBody(0, pattern(4096, 1)), 1n << 63n);
    expect((await kernel.answer(again)).errno).toBe(0);
    expect(bytesOf(await kernel.below.read(0, 4096)).equals(pattern(4096, 1))).toBe(true);
  });
});
