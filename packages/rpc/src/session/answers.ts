/**
 * What a brick answers one client: replies become frames, and those to anything but reads are remembered, so that a request
 * that comes again is answered by its first run.
 */
import { Errno } from '@mortar/core/errno.ts';
import type { Fd } from '@mortar/core/fd.ts';
import { type FopName, fopById, fops, type Reply } from '@mortar/core/fops.ts';
import { returnBytes } from '@mortar/core/payload.ts';
import { ByteWriter } from '../byte-writer.ts';
import { Encoder } from '../codec/coder.ts';
import { writeReply } from '../codec/fop-codec.ts';
import type { Connection } from '../connection.ts';
import { errorFlag, highHalf, Kind } from '../frame.ts';
import { FrameTooLarge, type Output } from '../output.ts';
import type { FdTable } from './fd-table.ts';
import { type Outcome, OutcomeMemory } from './outcomes.ts';
import type { SessionServer } from './server.ts';

type Bag = Record<string, unknown>;

const scratch = new ByteWriter(64 * 1024);
/** The meta part of a failure without extra data. */
const noFields = Buffer.from([0]);

export class Answers {
  readonly #server: SessionServer;
  readonly #clientId: string;
  readonly #fds: FdTable;
  readonly #outcomes: OutcomeMemory;
  readonly #encoder = new Encoder(() => 0);
  #connection: Connection | null = null;
  /** By the reply that is being encoded. */
  #madeFds: number[] | null = null;

  /** `fds`: where files are registered that a reply hands over. */
  constructor(server: SessionServer, clientId: string, fds: FdTable) {
    this.#server = server;
    this.#clientId = clientId;
    this.#fds = fds;
    this.#outcomes = new OutcomeMemory({ entries: server.limits.outcomes, bytes: server.limits.outcomeBytes });
  }

  get remembered(): { outcomes: number; outcomeBytes: number } {
    return { outcomes: this.#outcomes.size, outcomeBytes: this.#outcomes.bytes };
  }

  /** They go by this connection from now on; null: those that are remembered wait for being asked for again. */
  goBy(connection: Connection | null): void {
    this.#connection = connection;
  }

  /** The client has the answers of all requests below `sequence`. */
  acknowledge(sequence: number): void {
    this.#outcomes.acknowledge(sequence);
  }

  /** Answers a request that does not run (any more). */
  give(sequence: number, op: number, args: Bag, reply: Reply<FopName>): void {
    const fop = fopById(op) ?? 'stat';
    if (!isRemembered(fop)) {
      const status = reply.ok ? 0 : reply.errno;
      const done = reply.ok && this.#server.options.returns?.().reads ? returnBytes : undefined;
      this.#put(sequence, op, status, (output) => this.#encode(fop, output, args, reply), done);
      return;
    }
    const outcome = this.#safeOutcome(fop, op, args, reply);
    this.#outcomes.remember(sequence, outcome);
    this.#send(sequence, outcome);
  }

  /** Answers a request that was sent before and does not run; false if it has to run now. */
  giveAgain(sequence: number, op: number): boolean {
    const outcome = this.#outcomes.find(sequence);
    if (outcome) {
      this.#server.metrics.counter('rpc_retries_answered_total').add();
      this.#send(sequence, outcome);
      return true;
    }
    const fop = fopById(op);
    if (!fop || !isRemembered(fop) || !this.#outcomes.mayHaveForgotten(sequence)) return false;
    this.#send(sequence, { op, status: Errno.ENOTCONN, meta: noFields, payloads: null, fdIds: null });
    return true;
  }

  /** An answer is on its way to somebody who does not want it: what it opened would never be closed. */
  takeBack(sequence: number): void {
    const outcome = this.#outcomes.find(sequence);
    if (outcome?.fdIds) for (const id of outcome.fdIds) this.#fds.release(id);
    this.#outcomes.forget(sequence);
  }

  /** A reply that cannot be encoded is a translator's bug. */
  #safeOutcome(fop: FopName, op: number, args: Bag, reply: Reply<FopName>): Outcome {
    try {
      return this.#outcomeOf(fop, op, reply.ok ? 0 : reply.errno, args, reply);
    } catch (error) {
      this.#server.bug(this.#clientId, fop, error);
      return { op, status: Errno.EIO, meta: noFields, payloads: null, fdIds: this.#madeFds };
    }
  }

  #outcomeOf(fop: FopName, op: number, status: number, args: Bag, reply: Reply<FopName>): Outcome {
    this.#madeFds = null;
    scratch.position = 0;
    const payloads = this.#encode(fop, scratch, args, reply);
    const meta = Buffer.from(scratch.buffer.subarray(0, scratch.position));
    return { op, status, meta, payloads, fdIds: this.#madeFds };
  }

  #encode(fop: FopName, output: ByteWriter, args: Bag, reply: Reply<FopName>): readonly Uint8Array[] | null {
    this.#encoder.begin(output);
    writeReply(fop, this.#encoder, args, reply, this.#register);
    return this.#encoder.payloads;
  }

  readonly #register = (fd: Fd): number => {
    const id = this.#fds.register(fd);
    if (this.#madeFds) this.#madeFds.push(id);
    else this.#madeFds = [id];
    return id;
  };

  #send(sequence: number, { op, status, meta, payloads }: Outcome): void {
    this.#put(sequence, op, status, (output) => {
      output.raw(meta);
      return payloads;
    });
  }

  /** `done` gets each payload when it has been sent. */
  #put(
    sequence: number,
    op: number,
    status: number,
    encode: (output: Output) => readonly Uint8Array[] | null,
    done?: (payload: Uint8Array) => void,
  ): void {
    const connection = this.#connection;
    if (!connection) return;
    const flag = status === 0 ? 0 : errorFlag;
    try {
      connection.send(Kind.reply, op, sequence >>> 0, flag, status, 0, highHalf(sequence), encode, done);
    } catch (error) {
      const isTooLarge = error instanceof FrameTooLarge;
      if (!isTooLarge) this.#server.bug(this.#clientId, fopById(op) ?? 'stat', error);
      const errno = isTooLarge ? Errno.EMSGSIZE : Errno.EIO;
      connection.send(Kind.reply, op, sequence >>> 0, errorFlag, errno, 0, highHalf(sequence), (output) => {
        output.raw(noFields);
        return null;
      });
    }
  }
}

/** All but reads: whatever changes a file, a lock or the table of fds must not run twice. */
function isRemembered(fop: FopName): boolean {
  return fops[fop].class !== 'read';
}
