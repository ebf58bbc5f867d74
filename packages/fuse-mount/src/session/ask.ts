import { Errno } from '@mortar/core';
import type { ServedGraph } from '@mortar/host/client/graphs.ts';
import type { OpName } from '../protocol/index.ts';
import type { FuseCall } from './call.ts';
import type { Node } from './nodes.ts';
import type { Session } from './session.ts';

/** A request under way: answered exactly once. */
export class Ask {
  readonly session: Session;
  readonly op: OpName;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly nodeId: number;
  readonly call: FuseCall;
  /** Where it is served; null only for requests that need no graph. */
  graph: ServedGraph | null = null;
  answered = false;
  /** The node of which the kernel asks the attributes. */
  about: Node | null = null;
  /** Of a write: lent, and given back when it is answered. */
  payload: Uint8Array | null = null;
  /** Its neighbours among the requests under way. */
  before: Ask | null = null;
  after: Ask | null = null;
  /** Whether it counts against the bound of requests in flight. */
  counted = true;

  constructor(session: Session, op: OpName, uniqueLow: number, uniqueHigh: number, nodeId: number, call: FuseCall) {
    this.session = session;
    this.op = op;
    this.uniqueLow = uniqueLow;
    this.uniqueHigh = uniqueHigh;
    this.nodeId = nodeId;
    this.call = call;
  }

  /** The answer tells the attributes of this node: notices about it wait for that. */
  tells(node: Node): void {
    this.about = node;
    node.asking++;
  }

  fail(errno: number): void {
    this.session.reply.begin(this.uniqueLow, this.uniqueHigh, 0, 0, errno);
    this.send();
  }

  /** Done, and nothing to say. */
  ok(): void {
    this.session.reply.begin(this.uniqueLow, this.uniqueHigh, 0);
    this.send();
  }

  data(bytes: Uint8Array): void {
    const { reply } = this.session;
    if (bytes.length <= copyLimit) {
      reply.begin(this.uniqueLow, this.uniqueHigh, bytes.length);
      reply.bytes.set(bytes, reply.length - bytes.length);
      this.send();
      return;
    }
    reply.begin(this.uniqueLow, this.uniqueHigh, 0, bytes.length);
    this.send(bytes);
  }

  size32(size: number): void {
    this.session.reply.size32(this.uniqueLow, this.uniqueHigh, size);
    this.send();
  }

  size64(size: number): void {
    this.session.reply.size64(this.uniqueLow, this.uniqueHigh, size);
    this.send();
  }

  /** Sends what is in the reply buffer. False: nobody received it (interrupted request, ended mount). */
  send(payload?: Uint8Array): boolean {
    if (this.answered) return false;
    this.answered = true;
    return this.session.deliver(this, payload);
  }

  /**
   * Goes on with the reply of the file system. For the requests that there are most of (read, write, stat, lookup, open,
   * close): an `async` function would cost three promises more.
   */
  when<R>(reply: Promise<R>, go: (reply: R) => void): void {
    reply.then(
      (value) => {
        try {
          go(value);
        } catch (error) {
          this.session.bug(this, error);
        }
      },
      (error: unknown) => this.session.bug(this, error),
    );
  }

  /** Where the file system is called. */
  get top() {
    return this.graph!.top;
  }
}

/** Up to here copying into the reply buffer is cheaper than a second vector. */
const copyLimit = 8 * 1024;

/** An errno that the kernel gives a meaning of its own in replies (never ask again) must not come from a brick. */
export function safeErrno(errno: number): number {
  return errno === Errno.ENOSYS ? Errno.EOPNOTSUPP : errno;
}
