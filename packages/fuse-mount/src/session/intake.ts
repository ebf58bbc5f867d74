/**
 * Requests as they come from the kernel: parsed, counted, and begun by the session. What cannot be read is refused here; what
 * has no answer (forget, interrupt) is done here.
 */
import { Errno, freshBytes, lendBytes } from '@mortar/core';
import {
  decoders,
  forgotten,
  forgottenCount,
  type OpName,
  opcodes,
  type RequestOf,
  RequestView,
  setxattrShort,
} from '../protocol/index.ts';
import type { Session } from './session.ts';

const opNames: (OpName | undefined)[] = [];
for (const [name, code] of Object.entries(opcodes)) opNames[code] = name as OpName;

/** Payloads from here on stay in the receive buffer, which then is replaced; smaller ones only if it soon comes back. */
const keepPayloadBytes = 256 * 1024;

export class Intake {
  readonly #session: Session;
  readonly #view = new RequestView();
  readonly #counts = new Float64Array(64);
  #malformed = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** How many requests of each kind have come. */
  get counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    opNames.forEach((name, code) => {
      if (name && this.#counts[code]! > 0) counts[name] = this.#counts[code]!;
    });
    return counts;
  }

  get malformed(): number {
    return this.#malformed;
  }

  /** Takes the request in the first `length` bytes. True: a part of `bytes` is still in use. */
  receive(bytes: Buffer, length: number): boolean {
    const view = this.#view;
    const session = this.#session;
    view.attach(bytes);
    if (!view.parse(length)) {
      this.#malformed++;
      if (length >= 40) session.refuse(view, Errno.EIO);
      return false;
    }
    const op = opNames[view.opcode];
    if (op === undefined) {
      session.refuse(view, Errno.ENOSYS);
      return false;
    }
    this.#counts[view.opcode]!++;
    const short = op === 'setxattr' && session.agreed !== null && !session.agreed.setxattrExtended;
    const args = short ? setxattrShort(view) : decoders[op](view);
    if (args === undefined) {
      this.#malformed++;
      session.refuse(view, Errno.EINVAL);
      return false;
    }
    return this.#dispatch(op, args);
  }

  #dispatch(op: OpName, args: object): boolean {
    const view = this.#view;
    const session = this.#session;
    switch (op) {
      case 'forget':
        session.nodes.forget(view.nodeId, (args as RequestOf<'forget'>).count);
        return false;
      case 'batchForget':
        for (let i = 0; i < (args as RequestOf<'batchForget'>).forgets; i++)
          session.nodes.forget(forgotten(view, i), forgottenCount(view, i));
        return false;
      case 'interrupt': {
        const { uniqueLow, uniqueHigh } = args as RequestOf<'interrupt'>;
        session.interrupt(uniqueLow, uniqueHigh);
        return false;
      }
      case 'notifyReply':
        return false;
      case 'init':
        session.init(view, args as RequestOf<'init'>);
        return false;
    }
    if (op !== 'write') {
      session.begin(view, op, args, null);
      return false;
    }
    const kept = this.#keepPayload(args as RequestOf<'write'>, view.bytes);
    session.begin(view, op, args, (args as RequestOf<'write'>).data);
    return kept;
  }

  /** Whether the payload stays where it was received. It then is copied nowhere on its way to the file system. */
  #keepPayload(args: RequestOf<'write'>, received: Buffer): boolean {
    const { channel, graphs } = this.#session;
    const isKept = args.data.length >= keepPayloadBytes || (graphs.current?.returnsLent && channel.spare());
    if (isKept) {
      lendBytes(
        args.data,
        () => channel.done(received, true),
        () => channel.done(received, false),
      );
      return true;
    }
    const copy = freshBytes(args.data.length);
    copy.set(args.data);
    args.data = copy;
    return false;
  }
}
