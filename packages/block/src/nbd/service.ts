/**
 * Serves requests that have come whole: asks the device and answers with what it says, at once or when it does. Counts what is
 * under way, and what it holds.
 */
import type { Errno } from '@mortar/core';
import type { Answer, BlockDevice, Done, ReadReply } from '../device/device.ts';
import type { RequestHeader } from './codec.ts';
import { Command, CommandFlag as Flag } from './constants.ts';
import type { Agreement } from './negotiation.ts';
import { type Asked, Replies } from './replies.ts';
import { perform, statusOf } from './requests.ts';

export interface ServiceEvents {
  /** A request that had to wait was answered. */
  readonly settled: () => void;
  /** A device threw. What became of the request is not known: nothing is answered. */
  readonly bug: (error: unknown) => void;
}

export class Service {
  /** Answers that were not sent yet. */
  readonly replies: Replies;
  readonly #device: BlockDevice;
  readonly #mayResize: boolean;
  readonly #events: ServiceEvents;
  #requests = 0;
  #heldBytes = 0;

  constructor({ opened, extended, structured }: Agreement, events: ServiceEvents) {
    this.#device = opened.device;
    this.#mayResize = opened.mayResize;
    this.#events = events;
    this.replies = new Replies(extended ? 'extended' : structured ? 'structured' : 'simple');
  }

  /** Under way. */
  get requests(): number {
    return this.#requests;
  }

  /** Of their payloads. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Answers a request that the device is not asked about. */
  refuse(header: RequestHeader, errno: Errno): void {
    const hasDataReply = header.type === Command.READ || header.type === Command.BLOCK_STATUS;
    this.replies.failed(header, errno, hasDataReply);
  }

  /** Any command but a write. The header may serve the next request when this returns. */
  serve(header: RequestHeader, flags: number): void {
    if (header.type === Command.READ) this.#read(header, flags);
    else if (header.type === Command.BLOCK_STATUS) this.#status(header, flags);
    else {
      const { type, offset, length } = header;
      this.answer(header, perform(this.#device, this.#mayResize, type, flags, offset, length), 0);
    }
  }

  #read(header: RequestHeader, flags: number): void {
    const { offset, length } = header;
    const whole = (flags & Flag.DF) !== 0;
    const answer = this.#device.read(offset, length);
    if (!(answer instanceof Promise)) {
      this.#answerRead(header, answer, whole);
      return;
    }
    const asked = kept(header);
    this.wait(answer, length, (reply) => this.#answerRead(asked, reply, whole));
  }

  #answerRead(asked: Asked, reply: ReadReply, whole: boolean): void {
    if (reply.ok) this.replies.read(asked, reply.pieces, whole);
    else this.replies.failed(asked, reply.errno, true);
  }

  #status(header: RequestHeader, flags: number): void {
    const answer = statusOf(this.#device, flags, header.offset, header.length);
    const asked = kept(header);
    const reply = (one: Awaited<typeof answer>) => {
      if (one.ok) this.replies.status(asked, one.extents);
      else this.replies.failed(asked, one.errno, true);
    };
    if (answer instanceof Promise) this.wait(answer, 0, reply);
    else reply(answer);
  }

  /**
   * Answers with success or failure; `release` when the device has done with the request's payload of `heldBytes`: after a
   * failure somebody may still have it.
   */
  answer(asked: Asked, answer: Answer<Done>, heldBytes: number, release?: () => void): void {
    if (!(answer instanceof Promise)) {
      this.#answerDone(asked, answer);
      if (answer.ok) release?.();
      return;
    }
    const own = kept(asked);
    this.wait(answer, heldBytes, (one) => {
      if (one.ok) release?.();
      this.#answerDone(own, one);
    });
  }

  #answerDone(asked: Asked, answer: Done): void {
    if (answer.ok) this.replies.done(asked);
    else this.replies.failed(asked, answer.errno, false);
  }

  /** Counts as one request that holds so many bytes, until it is settled. */
  wait<T>(answer: Promise<T>, heldBytes: number, reply: (value: T) => void): void {
    this.#requests++;
    this.#heldBytes += heldBytes;
    const settled = () => {
      this.#requests--;
      this.#heldBytes -= heldBytes;
      this.#events.settled();
    };
    answer.then(
      (value) => {
        reply(value);
        settled();
      },
      (error: unknown) => {
        this.#events.bug(error);
        settled();
      },
    );
  }
}

/** The header serves the next request: what outlives this one is copied. */
export function kept({ cookieHigh, cookieLow, offset }: Asked): Asked {
  return { cookieHigh, cookieLow, offset };
}
