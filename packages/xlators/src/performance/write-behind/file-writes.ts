/** The writes of one file on their way to the child: which are answered ahead, which are sent, and what came of them. */
import {
  type Call,
  type Clock,
  Errno,
  type Fd,
  fail,
  type Inode,
  isKnownIatt,
  type Reply,
  type Timer,
} from '@mortar/core';
import type { Room } from './room.ts';
import { answeredAhead, lastingCall, Write } from './write.ts';

/** Of one file. More would make every new one be compared with too many. */
const aheadMax = 256;
/** What is held back for more goes after this. */
const heldMs = 1000;

export interface FileWritesPorts {
  readonly clock: Clock;
  readonly room: Room;
  /** Sends one; never throws. */
  send(write: Write): Promise<Reply<'writev'>>;
  /** A write that was answered has failed. */
  failed(write: Write, errno: Errno): void;
  /** The first write comes, and the last one is done. */
  busy(file: FileWrites): void;
  idle(file: FileWrites): void;
}

export class FileWrites {
  readonly inode: Inode;
  readonly #ports: FileWritesPorts;
  readonly #sent = new Set<Write>();
  /** Not sent yet, in their order. */
  #held: Write[] = [];
  /** Sent or held, and their callers are to be answered as soon as there is room. */
  #unanswered: Write[] = [];
  #aheadBytes = 0;
  #aheadCount = 0;
  #timer: Timer | null = null;
  readonly #admit = () => this.#answerThoseWithRoom();
  /** What the child last told, while writes are under way; 0: unknown. */
  #sizeAtLeast = 0;
  #resizing = 0;
  /** Of failures that were answered as successes: how many, and the last one. */
  errors = { count: 0, errno: Errno.EIO as Errno };
  /** Counts up over all files: when its last write was done. */
  idleSince = 0;

  constructor(ports: FileWritesPorts, inode: Inode) {
    this.#ports = ports;
    this.inode = inode;
  }

  get isBusy(): boolean {
    return this.#sent.size > 0 || this.#held.length > 0;
  }

  /** Resolves when the caller may be told. */
  write(fd: Fd, call: Call, offset: number, data: Uint8Array): Promise<Reply<'writev'>> | Reply<'writev'> {
    const isAhead = this.#hasRoom();
    const last = this.#held.at(-1);
    const size = data.length;
    if (isAhead && last?.isContinuedBy(fd, call, offset) && last.size + size <= this.#settings.aggregateBytes) {
      last.append(data);
      this.#take(size, 0);
      this.#pump();
      return answeredAhead(size);
    }
    const wasBusy = this.isBusy;
    const write = new Write(fd, lastingCall(call), offset, data);
    fd.hold();
    this.#held.push(write);
    if (!wasBusy) this.#ports.busy(this);
    if (isAhead) {
      write.isAnswered = true;
      this.#take(size, 1);
      this.#pump();
      return answeredAhead(size);
    }
    const answered = new Promise<Reply<'writev'>>((resolve) => {
      write.answer = resolve;
    });
    if (this.#unanswered.push(write) === 1) this.#ports.room.wait(this.#admit);
    this.#pump();
    return answered;
  }

  /** Those under way that bear on a read; null: none. */
  beforeRead(start: number, end: number): Promise<unknown> | null {
    const concerns = (write: Write) =>
      write.overlaps(start, end) || (write.offset >= end && this.#sizeAtLeast < end && start < end);
    return this.#until(concerns);
  }

  /** All that are under way now; null: none. */
  all(): Promise<unknown> | null {
    return this.#until(() => true);
  }

  /** Runs what may make the file shorter: until it has ended nobody knows how long it is. */
  async resizing<R>(work: () => Promise<R>): Promise<R> {
    this.#resizing++;
    try {
      await this.all();
      return await work();
    } finally {
      this.#resizing--;
      this.#sizeAtLeast = 0;
    }
  }

  /** Sends what is held back. */
  push(): void {
    for (const write of this.#held) write.isWanted = true;
    this.#pump();
  }

  get #settings() {
    return this.#ports.room.settings;
  }

  #until(concerns: (write: Write) => boolean): Promise<unknown> | null {
    const all = [...this.#sent, ...this.#held].filter(concerns);
    if (all.length === 0) return null;
    const over = Promise.all(all.map((write) => write.over()));
    this.push();
    return over;
  }

  #hasRoom(): boolean {
    return this.#ports.room.hasSome && this.#aheadBytes < this.#settings.windowBytes && this.#aheadCount < aheadMax;
  }

  #take(bytes: number, count: number): void {
    this.#aheadBytes += bytes;
    this.#aheadCount += count;
    this.#ports.room.take(bytes);
  }

  #answerThoseWithRoom(): void {
    while (this.#unanswered.length > 0 && this.#hasRoom()) {
      const write = this.#unanswered.shift()!;
      write.isAnswered = true;
      this.#take(write.size, 1);
      write.answer!(answeredAhead(write.size));
      write.answer = null;
    }
    if (this.#unanswered.length === 0) this.#ports.room.forget(this.#admit);
  }

  /** Sends what may be sent. */
  #pump(): void {
    const { isStrictlyOrdered } = this.#settings;
    for (let i = 0; i < this.#held.length; ) {
      if (isStrictlyOrdered && this.#sent.size > 0) break;
      const write = this.#held[i]!;
      if (this.#mustWait(write, i) || (i === this.#held.length - 1 && this.#mayGrow(write))) {
        i++;
        continue;
      }
      this.#held.splice(i, 1);
      this.#send(write);
    }
    this.#watchHeld();
  }

  /** Whether it overlaps an earlier one. */
  #mustWait(write: Write, at: number): boolean {
    for (const one of this.#sent) if (one.overlaps(write.offset, write.end)) return true;
    for (let i = 0; i < at; i++) if (this.#held[i]!.overlaps(write.offset, write.end)) return true;
    return false;
  }

  /** Whether it is held back, since what comes next may continue it. */
  #mayGrow(write: Write): boolean {
    const { aggregateBytes, trickles } = this.#settings;
    if (!write.isAnswered || write.isWanted || write.size >= aggregateBytes) return false;
    return this.#sent.size > 0 || !trickles;
  }

  #watchHeld(): void {
    const isAlone = this.#held.length > 0 && this.#sent.size === 0;
    if (!isAlone) {
      this.#timer?.cancel();
      this.#timer = null;
    } else
      this.#timer ??= this.#ports.clock.after(heldMs, () => {
        this.#timer = null;
        this.push();
      });
  }

  #send(write: Write): void {
    this.#sent.add(write);
    void this.#ports.send(write).then((reply) => this.#done(write, reply));
  }

  #done(write: Write, reply: Reply<'writev'>): void {
    this.#sent.delete(write);
    if (write.isAnswered) {
      this.#aheadBytes -= write.size;
      this.#aheadCount--;
      this.#ports.room.give(write.size);
    } else {
      this.#unanswered = this.#unanswered.filter((other) => other !== write);
      write.answer!(reply);
    }
    const isSizeKnown = reply.ok && isKnownIatt(reply.post) && this.#resizing === 0 && this.isBusy;
    this.#sizeAtLeast = isSizeKnown ? reply.post.size : 0;
    if (!reply.ok && write.isAnswered) {
      this.errors = { count: this.errors.count + 1, errno: reply.errno };
      this.#ports.failed(write, reply.errno);
    }
    this.#answerThoseWithRoom();
    this.#pump();
    if (!this.isBusy) this.#ports.idle(this);
    write.fd.unhold();
    write.ended();
  }
}

/** What the child answered, if it took all of it. */
export function whole(reply: Reply<'writev'>, size: number): Reply<'writev'> {
  return reply.ok && reply.written < size ? fail(Errno.EIO) : reply;
}
