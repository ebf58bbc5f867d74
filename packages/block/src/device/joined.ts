/** Devices made of several: one behind the other, or striped over them. */
import { Errno } from '@mortar/core';
import {
  type Answer,
  allDone,
  type BlockDevice,
  type Done,
  done,
  type Extent,
  type ReadReply,
  refuse,
  type StatusReply,
  type Traits,
  type ZeroHow,
} from './device.ts';
import { ExtentList } from './extents.ts';
import { GuardedDevice, plainTraits } from './guarded.ts';

/** A part of a range: where it is on which device. */
interface Part {
  readonly device: BlockDevice;
  readonly offset: number;
  readonly length: number;
}

/** Status looks at no more parts at once. */
const statusPartsMax = 1024;

abstract class JoinedDevice extends GuardedDevice {
  readonly traits: Traits;
  protected readonly members: readonly BlockDevice[];

  constructor(members: readonly BlockDevice[], preferredBytes: number, resizable: boolean) {
    super();
    if (members.length === 0) throw new Error('a device that is joined needs at least one member');
    this.members = members;
    const traits = members.map((member) => member.traits);
    const readOnly = traits.some((one) => one.readOnly);
    this.traits = {
      ...plainTraits,
      readOnly,
      minimumBytes: Math.max(...traits.map((one) => one.minimumBytes)),
      preferredBytes: Math.max(preferredBytes, ...traits.map((one) => one.preferredBytes)),
      maximumBytes: Math.min(...traits.map((one) => one.maximumBytes)),
      rotational: traits.some((one) => one.rotational),
      streams: traits.every((one) => one.streams),
      resizable: resizable && !readOnly,
    };
  }

  /** In the order of the range. */
  protected abstract parts(offset: number, length: number): Generator<Part>;
  /** The same bytes with as few requests as possible, in any order. */
  protected abstract ranges(offset: number, length: number): Iterable<Part>;

  protected doRead(offset: number, length: number): Answer<ReadReply> {
    const answers: Answer<ReadReply>[] = [];
    for (const part of this.parts(offset, length)) answers.push(part.device.read(part.offset, part.length));
    if (answers.length === 1) return answers[0]!;
    return answers.some((one) => one instanceof Promise)
      ? Promise.all(answers).then(joinReads)
      : joinReads(answers as ReadReply[]);
  }

  protected doWrite(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    const answers: Answer<Done>[] = [];
    let at = 0;
    for (const { device, offset: to, length } of this.parts(offset, bytes.length)) {
      answers.push(device.write(to, length === bytes.length ? bytes : bytes.subarray(at, at + length), fua));
      at += length;
    }
    return answers.length === 1 ? answers[0]! : allDone(answers);
  }

  protected doZero(offset: number, length: number, how: ZeroHow): Answer<Done> {
    return allDone([...this.ranges(offset, length)].map((part) => part.device.zero(part.offset, part.length, how)));
  }

  protected doTrim(offset: number, length: number, fua: boolean): Answer<Done> {
    return allDone([...this.ranges(offset, length)].map((part) => part.device.trim(part.offset, part.length, fua)));
  }

  protected doFlush(): Answer<Done> {
    return allDone(this.members.map((member) => member.flush()));
  }

  protected async doStatus(offset: number, length: number, extentsMax: number): Promise<StatusReply> {
    const list = new ExtentList(extentsMax);
    let looked = 0;
    for (const part of this.parts(offset, length)) {
      const reply = await part.device.status(part.offset, part.length, extentsMax);
      if (!reply.ok) return looked === 0 ? reply : { ok: true, extents: list.extents };
      const told = addAll(list, reply.extents);
      // A member that told less than all ends the answer: what follows must adjoin.
      if (told < part.length || ++looked >= statusPartsMax) break;
    }
    return { ok: true, extents: list.extents };
  }

  protected override doCache(offset: number, length: number): Answer<Done> {
    return allDone([...this.ranges(offset, length)].map((part) => part.device.cache(part.offset, part.length)));
  }

  hold(force: boolean): Answer<Done> {
    return allDone(this.members.map((member) => member.hold?.(force) ?? done));
  }

  async rest(): Promise<void> {
    await Promise.all(this.members.map((member) => member.rest?.()));
  }

  override async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.close()));
  }
}

function addAll(list: ExtentList, extents: readonly Extent[]): number {
  let told = 0;
  for (const { length, hole, zero } of extents) {
    if (!list.add(length, hole, zero)) return told;
    told += length;
  }
  return told;
}

function joinReads(replies: readonly ReadReply[]): ReadReply {
  const pieces: Uint8Array[] = [];
  for (const reply of replies) {
    if (!reply.ok) return reply;
    pieces.push(...reply.pieces);
  }
  return { ok: true, pieces };
}

/** One behind the other. Grows by its last member. */
export class ConcatDevice extends JoinedDevice {
  constructor(members: readonly BlockDevice[]) {
    super(members, 0, members.at(-1)?.traits.resizable ?? false);
  }

  get sizeBytes(): number {
    return this.members.reduce((total, member) => total + member.sizeBytes, 0);
  }

  protected *parts(offset: number, length: number): Generator<Part> {
    let start = 0;
    let left = length;
    for (const device of this.members) {
      const end = start + device.sizeBytes;
      if (left > 0 && offset + length - left < end) {
        const from = offset + length - left - start;
        const size = Math.min(left, device.sizeBytes - from);
        yield { device, offset: from, length: size };
        left -= size;
      }
      start = end;
    }
  }

  protected ranges(offset: number, length: number): Iterable<Part> {
    return this.parts(offset, length);
  }

  protected override doResize(sizeBytes: number): Answer<Done> {
    const last = this.members.at(-1)!;
    const before = this.sizeBytes - last.sizeBytes;
    return sizeBytes <= before ? refuse(Errno.EINVAL) : last.resize(sizeBytes - before);
  }
}

/** Units of a fixed size in turn over all members. The size is what the smallest of them allows. */
export class StripeDevice extends JoinedDevice {
  readonly unitBytes: number;

  constructor(members: readonly BlockDevice[], unitBytes: number) {
    super(
      members,
      unitBytes,
      members.every((member) => member.traits.resizable),
    );
    this.unitBytes = unitBytes;
    if (!(Number.isSafeInteger(unitBytes) && unitBytes > 0) || unitBytes % this.traits.minimumBytes !== 0)
      throw new Error(`a stripe's unit of ${unitBytes} bytes is not a multiple of ${this.traits.minimumBytes}`);
  }

  get sizeBytes(): number {
    const units = Math.min(...this.members.map((member) => Math.floor(member.sizeBytes / this.unitBytes)));
    return units * this.unitBytes * this.members.length;
  }

  protected *parts(offset: number, length: number): Generator<Part> {
    const { unitBytes, members } = this;
    for (let at = offset, end = offset + length; at < end; ) {
      const unit = Math.floor(at / unitBytes);
      const within = at % unitBytes;
      const size = Math.min(unitBytes - within, end - at);
      const row = Math.floor(unit / members.length);
      yield { device: members[unit % members.length]!, offset: row * unitBytes + within, length: size };
      at += size;
    }
  }

  /** A range of the whole is one range of each member. */
  protected *ranges(offset: number, length: number): Generator<Part> {
    for (let i = 0; i < this.members.length; i++) {
      const from = this.#before(i, offset);
      const size = this.#before(i, offset + length) - from;
      if (size > 0) yield { device: this.members[i]!, offset: from, length: size };
    }
  }

  /** How many bytes of a member lie before an offset of the whole. */
  #before(member: number, offset: number): number {
    const { unitBytes, members } = this;
    const rowBytes = unitBytes * members.length;
    const within = (offset % rowBytes) - member * unitBytes;
    return Math.floor(offset / rowBytes) * unitBytes + Math.min(unitBytes, Math.max(0, within));
  }

  protected override async doResize(sizeBytes: number): Promise<Done> {
    const { unitBytes, members } = this;
    if (sizeBytes % (unitBytes * members.length) !== 0) return refuse(Errno.EINVAL);
    const before = members.map((member) => member.sizeBytes);
    for (const [i, member] of members.entries()) {
      const answer = await member.resize(sizeBytes / members.length);
      if (answer.ok) continue;
      // What grew goes back: the size of the whole is what the smallest has, but room would be lost.
      if (sizeBytes > this.sizeBytes) for (let j = 0; j < i; j++) await members[j]!.resize(before[j]!);
      return answer;
    }
    return done;
  }
}
