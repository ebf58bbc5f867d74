/**
 * A device on a volume: shards of a directory, by gfid, without a mount. It is attached with its first request; once another one
 * has taken it, every request is refused with EKEYREVOKED until the next `rest`.
 */
import { Errno, type Failure, locOf } from '@mortar/core';
import {
  allDone,
  type Done,
  done,
  type ReadReply,
  refuse,
  type StatusReply,
  type Traits,
  type ZeroHow,
  zeroPieces,
} from '../device/device.ts';
import { ExtentList } from '../device/extents.ts';
import { GuardedDevice, plainTraits } from '../device/guarded.ts';
import { Syncer } from '../device/syncer.ts';
import { durable } from './catalog.ts';
import { descriptionXattr, encodeDescription } from './description.ts';
import { Holding, type HoldingOptions } from './holding.ts';
import type { Shards } from './shards.ts';

export interface VolumeDeviceOptions extends HoldingOptions {
  readonly readOnly?: boolean;
}

interface Part {
  readonly shard: number;
  /** In the shard. */
  readonly offset: number;
  readonly length: number;
}

/** What one fop carries at most. */
const transferMaxBytes = 1024 * 1024;
/** Status looks at no more shards at once. */
const statusShardsMax = 1024;
const FALLOC_KEEP_SIZE = 1;

const isAbsence = (errno: Errno) => errno === Errno.ENOTCONN || errno === Errno.ETIMEDOUT;

export class VolumeDevice extends GuardedDevice {
  readonly traits: Traits;
  readonly #holding: Holding;
  readonly #shardBytes: number;
  #sizeBytes: number;
  #syncer: Syncer;
  #resizing: Promise<unknown> = Promise.resolve();

  constructor(options: VolumeDeviceOptions) {
    super();
    const { found, readOnly = false } = options;
    this.#holding = new Holding(options, {
      attached: ({ sizeBytes }) => {
        this.#sizeBytes = sizeBytes;
        this.#syncer = this.#newSyncer();
      },
      leaving: async () => readOnly || this.#syncer.flush(),
    });
    this.#shardBytes = found.description.shardBytes;
    this.#sizeBytes = found.description.sizeBytes;
    this.#syncer = this.#newSyncer();
    this.traits = { ...plainTraits, readOnly, preferredBytes: 4096, resizable: !readOnly };
  }

  #newSyncer(): Syncer {
    return new Syncer(async () => {
      // Also while it is given up, when nobody else may use it any more.
      const held = this.#holding.held ?? (await this.#holding.use());
      return 'errno' in held ? held.errno : held.shards.flush();
    });
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The epoch it is held with; 0: it is not. */
  get epoch(): number {
    return this.#holding.held?.attachment.epoch ?? 0;
  }

  get isLost(): boolean {
    return this.#holding.isLost;
  }

  /** Attaches it now; if force is asked for, also though another holder shows life, or took it from us. */
  hold(force = false): Promise<Done> {
    return this.#holding.hold(force);
  }

  /** Nobody uses it for now: who asks next may have it. */
  rest(): Promise<void> {
    return this.#holding.rest();
  }

  override close(): Promise<void> {
    return this.#holding.close();
  }

  *#parts(offset: number, length: number, stepBytes = Number.POSITIVE_INFINITY): Generator<Part> {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const shard = Math.floor(at / this.#shardBytes);
      const inside = at - shard * this.#shardBytes;
      const size = Math.min(end - at, this.#shardBytes - inside, stepBytes);
      yield { shard, offset: inside, length: size };
      at += size;
    }
  }

  protected async doRead(offset: number, length: number): Promise<ReadReply> {
    const held = await this.#holding.use();
    if ('errno' in held) return held;
    const { shards } = held;
    const parts = [...this.#parts(offset, length, transferMaxBytes)];
    const replies = await Promise.all(
      parts.map((part) => (shards.has(part.shard) ? shards.read(part.shard, part.offset, part.length) : null)),
    );
    const pieces: Uint8Array[] = [];
    for (const [i, reply] of replies.entries()) {
      const { length: wanted } = parts[i]!;
      if (reply && !reply.ok) return reply;
      const data = reply?.data.subarray(0, wanted);
      if (data && data.length > 0) pieces.push(data);
      if (!data || data.length < wanted) pieces.push(...zeroPieces(wanted - (data?.length ?? 0)));
    }
    return { ok: true, pieces };
  }

  protected async doWrite(offset: number, bytes: Uint8Array, fua: boolean): Promise<Done> {
    const held = await this.#holding.use();
    if ('errno' in held) return held;
    let at = 0;
    const answers: Promise<Done>[] = [];
    for (const { shard, offset: to, length } of this.#parts(offset, bytes.length, transferMaxBytes)) {
      answers.push(held.shards.write(shard, to, bytes.subarray(at, at + length), fua));
      at += length;
    }
    return allDone(answers);
  }

  protected async doZero(offset: number, length: number, how: ZeroHow): Promise<Done> {
    const held = await this.#holding.use();
    if ('errno' in held) return held;
    const parts = [...this.#parts(offset, length)];
    const answer = await allDone(
      parts.map((part) => (how.mayTrim ? this.#punch(held.shards, part) : this.#fill(held.shards, part))),
    );
    return answer.ok && how.fua ? this.#flushed() : answer;
  }

  protected async doTrim(offset: number, length: number, fua: boolean): Promise<Done> {
    const held = await this.#holding.use();
    if ('errno' in held) return held;
    const parts = [...this.#parts(offset, length)];
    const answer = await allDone(parts.map((part) => this.#punch(held.shards, part)));
    return answer.ok && fua ? this.#flushed() : answer;
  }

  async #punch(shards: Shards, { shard, offset, length }: Part): Promise<Done> {
    if (!shards.has(shard)) return done;
    const isWhole = offset === 0 && length === this.#shardBytes;
    const reply = await shards.change<{ ok: true } | Failure>(shard, (ops, call, fd) =>
      isWhole ? ops.ftruncate(call, { fd, size: 0 }) : ops.discard(call, { fd, offset, size: length }),
    );
    return reply.ok ? done : reply;
  }

  /** Zeroes that keep their room. */
  async #fill(shards: Shards, { shard, offset, length }: Part): Promise<Done> {
    if (!shards.has(shard)) {
      const made = await shards.make(shard);
      if (!made.ok) return made;
    }
    const reply = await shards.change<{ ok: true } | Failure>(shard, (ops, call, fd) =>
      ops.zerofill(call, { fd, offset, size: length }),
    );
    if (reply.ok || reply.errno !== Errno.EOPNOTSUPP) return reply.ok ? done : reply;
    const punched = await this.#punch(shards, { shard, offset, length });
    if (!punched.ok) return punched;
    const again = await shards.change<{ ok: true } | Failure>(shard, (ops, call, fd) =>
      ops.fallocate(call, { fd, mode: FALLOC_KEEP_SIZE, offset, size: length }),
    );
    return again.ok ? done : again;
  }

  /** Also when it is not held: what was acknowledged before, here or by another server, may not be on the disks yet. */
  protected async doFlush(): Promise<Done> {
    const held = await this.#holding.use();
    return 'errno' in held ? held : this.#flushed();
  }

  async #flushed(): Promise<Done> {
    const syncer = this.#syncer;
    const answer = await syncer.flush();
    // What a quorum could not be asked for may be asked again; an error of their disks is the last word, as with a file.
    if (!answer.ok && isAbsence(answer.errno) && this.#syncer === syncer) this.#syncer = this.#newSyncer();
    return answer;
  }

  protected async doStatus(offset: number, length: number, extentsMax: number): Promise<StatusReply> {
    const held = await this.#holding.use();
    if ('errno' in held) return held;
    const list = new ExtentList(extentsMax);
    let looked = 0;
    for (const part of this.#parts(offset, length)) {
      if (!held.shards.has(part.shard)) {
        if (!list.add(part.length, true, true)) break;
        continue;
      }
      if (++looked > statusShardsMax) break;
      const reply = await this.#statusOf(held.shards, part, list);
      if (!reply.ok) return reply;
      if (reply.isFull) break;
    }
    return { ok: true, extents: list.extents };
  }

  async #statusOf(
    shards: Shards,
    { shard, offset, length }: Part,
    list: ExtentList,
  ): Promise<{ ok: true; isFull: boolean } | Failure> {
    const end = offset + length;
    const seek = async (from: number, what: 'data' | 'hole'): Promise<number | Failure> => {
      const reply = await shards.onShard(shard, (ops, call, fd) => ops.seek(call, { fd, offset: from, what }));
      if (reply.ok) return Math.min(Math.max(reply.offset, from), end);
      // ENXIO: the file has no more data. One that cannot tell has data everywhere.
      if (reply.errno === Errno.ENXIO) return end;
      return reply.errno === Errno.EOPNOTSUPP ? (what === 'data' ? from : end) : reply;
    };
    for (let at = offset; at < end; ) {
      const data = await seek(at, 'data');
      if (typeof data !== 'number') return data;
      if (!list.add(data - at, true, true)) return { ok: true, isFull: true };
      if (data === end) break;
      const hole = await seek(data, 'hole');
      if (typeof hole !== 'number') return hole;
      at = hole > data ? hole : end;
      if (!list.add(at - data, false, false)) return { ok: true, isFull: true };
    }
    return { ok: true, isFull: false };
  }

  /** Grows: what was there beyond the end, if it ever was larger, is not. One at a time: each is measured against the one before. */
  protected override doResize(sizeBytes: number): Promise<Done> {
    const grow = () => this.#grow(sizeBytes);
    const grown = this.#resizing.then(grow, grow);
    this.#resizing = grown;
    return grown;
  }

  async #grow(sizeBytes: number): Promise<Done> {
    const held = await this.#holding.use();
    if ('errno' in held) return held;
    // Not before it is held: another server may have let it grow since this one looked.
    if (sizeBytes < this.#sizeBytes) return refuse(Errno.EINVAL);
    const { device } = held.attachment;
    const description = { version: 1, sizeBytes, shardBytes: this.#shardBytes } as const;
    const xattrs = { [descriptionXattr]: encodeDescription(description) };
    const reply = await held.shards.run<Done>(async (ops, call) => {
      const set = await ops.setxattr(call, { loc: locOf(device), xattrs, flags: 0 });
      // No flush of what is written beyond the old end asks for the size as well.
      return set.ok ? durable(ops, call, device) : set;
    });
    if (!reply.ok) return reply;
    this.#sizeBytes = sizeBytes;
    return done;
  }
}
