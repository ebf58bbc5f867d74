/** One connection of a client: who it is, which session it carries, and what it may have under way. */
import { type Clock, Errno, returnBytes } from '@mortar/core';
import type { Stream } from '@mortar/rpc/stream.ts';
import { zeroPieces } from '../../device/device.ts';
import { clientProof, isSameProof, serverProof } from '../authentication.ts';
import { payloadsMax, requestsMax } from '../bounds.ts';
import { FrameFlag, FrameType, type RequestFrame } from '../frame.ts';
import { FrameStream } from '../frame-stream.ts';
import {
  controlMaxBytes,
  decodeMessage,
  encodeMessage,
  type Hello,
  type HelloReply,
  hello,
  join,
} from '../messages.ts';
import { type Secured, securedOf } from '../tls/secured.ts';
import type { ClientLoad } from './client-load.ts';
import type { Carrier, Session } from './session.ts';

export interface Gate {
  readonly clock: Clock;
  /** What the server says of itself, with a fresh challenge, to a client of this version. */
  introduce(version: number): HelloReply;
  /**
   * The client's key; null: nobody of that name may come. Empty: there are no keys here, or (`proven`: the name that TLS has
   * proven) it is not needed.
   */
  keyOf(client: string, proven: string | null): string | null;
  /** Whether clients that want TLS get it. */
  readonly speaksTls: boolean;
  /** A session of this client by its id, or a new one; null if there is none (any more), or no room for one. */
  sessionOf(client: string, id: string, address: string, version: number): Session | null;
  /** What the client has in this server's hands. */
  loadOf(client: string, address: string): ClientLoad;
  /** What a client may see. */
  list(session: Session): object;
  readonly leaseMs: number;
}

/**
 * While a long payload is on its way, or something waits for its device, so often is said that more comes: over a slow path it may take
 * longer than one may be silent, and a ping comes behind it.
 */
const signOfLifeMs = 50;
const signOfLife: RequestFrame = {
  type: FrameType.PING,
  flags: FrameFlag.AGAIN,
  device: 0,
  tag: 0,
  offset: 0,
  length: 0,
};
const probeMaxBytes = 1024 * 1024;
const unreadMax = 8 * 1024 * 1024;

export class ServerConnection implements Carrier {
  readonly address: string;
  readonly #gate: Gate;
  readonly #frames: FrameStream;
  readonly #secured: Secured | null;
  readonly #ended: (connection: ServerConnection, why: string | null) => void;
  #hello: { asked: Hello; told: HelloReply } | null = null;
  #session: Session | null = null;
  #load: ClientLoad | null = null;
  #path = 0;
  #requests = 0;
  #payloads = 0;
  #isPaused = false;
  #saidMs = 0;

  constructor(stream: Stream, gate: Gate, ended: (connection: ServerConnection, why: string | null) => void) {
    const { peer } = stream;
    this.address = peer.kind === 'tcp' ? `${peer.address}:${peer.port}` : peer.address;
    this.#gate = gate;
    this.#ended = ended;
    this.#secured = securedOf(stream);
    this.#frames = new FrameStream(stream, {
      request: (frame, payload, isOwn) => this.#request(frame, payload, isOwn),
      reply: () => this.end('it answers, but was asked nothing'),
      heard: () => this.#heard(),
      drained: () => this.#breathe(),
      ended: (why) => this.#gone(why),
    });
    this.#frames.payloadMaxBytes = controlMaxBytes;
    this.#frames.start();
  }

  get session(): Session | null {
    return this.#session;
  }

  get path(): number {
    return this.#path;
  }

  get isEnded(): boolean {
    return this.#frames.isEnded;
  }

  get underWay(): { requests: number; bytes: number } {
    return { requests: this.#requests, bytes: this.#payloads + this.#frames.queuedBytes };
  }

  end(why: string): void {
    this.#frames.destroy(why);
  }

  #heard(): void {
    if (!this.#session || (!this.#frames.isMidway && this.#requests === 0)) return;
    const nowMs = this.#gate.clock.nowMs();
    if (nowMs - this.#saidMs < signOfLifeMs) return;
    this.#saidMs = nowMs;
    this.reply(signOfLife, 0);
  }

  #request(frame: RequestFrame, payload: Buffer, isOwn: boolean): void {
    const session = this.#session;
    if (!session) {
      this.#negotiate(frame, payload);
      return;
    }
    if (frame.type === FrameType.PING) {
      this.reply(frame, 0);
      return;
    }
    if (frame.type === FrameType.PROBE) {
      const isGood = frame.offset <= probeMaxBytes && payload.length <= probeMaxBytes;
      this.reply(frame, isGood ? 0 : Errno.EINVAL, isGood ? zeroPieces(frame.offset) : []);
      return;
    }
    if (frame.type === FrameType.LIST) {
      this.reply(frame, 0, [encodeMessage(this.#gate.list(session))]);
      return;
    }
    if (frame.type === FrameType.HELLO || frame.type === FrameType.JOIN) {
      this.end('it says hello again');
      return;
    }
    const size = payload.length;
    const pinned = size > 0 && !isOwn ? this.#frames.pin() : null;
    this.#requests++;
    this.#payloads += size;
    const load = this.#load!;
    load.add(size);
    session.request(this, frame, payload, (isFree) => {
      if (isFree && pinned) this.#frames.unpin(pinned);
      else if (isFree) returnBytes(payload);
      this.#requests--;
      this.#payloads -= size;
      load.drop(size);
      this.#breathe();
    });
    this.#breathe();
  }

  reply(frame: RequestFrame, errno: number, pieces: readonly Uint8Array[] = [], done?: () => void, more = 0): void {
    let length = 0;
    for (const piece of pieces) length += piece.length;
    const { type, device, tag } = frame;
    const flags = (frame.flags & FrameFlag.AGAIN) | more;
    this.#frames.sendReply({ type, flags, device, tag, errno, length }, pieces, done);
    this.#breathe();
  }

  /** Who has too much under way, or does not read his answers, is not read from. */
  readonly #breathe = (): void => {
    if (this.#frames.isEnded) return;
    const { queuedBytes, stream } = this.#frames;
    const isFull =
      this.#requests > requestsMax ||
      this.#payloads > payloadsMax ||
      queuedBytes >= unreadMax ||
      this.#load?.isFull === true;
    if (isFull === this.#isPaused) return;
    this.#isPaused = isFull;
    if (isFull) stream.pause();
    else stream.resume();
  };

  #negotiate(frame: RequestFrame, payload: Buffer): void {
    if (frame.type === FrameType.HELLO && !this.#hello) {
      const asked = decodeMessage(hello, payload);
      if (!asked) {
        this.end('a hello that cannot be read');
        return;
      }
      if (asked.tls && !this.#secured && this.#gate.speaksTls) {
        this.#refuse(frame, Errno.EPROTO, 'it wanted TLS, and somebody has kept that from us');
        return;
      }
      const told = this.#gate.introduce(asked.version);
      this.#hello = { asked, told };
      const isHere = asked.namespace === '' || asked.namespace === told.namespace;
      if (isHere && asked.version === told.version) {
        this.reply(frame, 0, [encodeMessage(told)]);
        return;
      }
      this.#refuse(frame, isHere ? Errno.EPROTONOSUPPORT : Errno.ENOENT, 'it means another namespace or version');
    } else if (frame.type === FrameType.JOIN && this.#hello) this.#join(frame, payload, this.#hello);
    else this.end('it does not say who it is');
  }

  #join(frame: RequestFrame, payload: Buffer, { asked, told }: { asked: Hello; told: HelloReply }): void {
    const joining = decodeMessage(join, payload);
    if (!joining) {
      this.end('a request to join that cannot be read');
      return;
    }
    const { name: proven, channel } = this.#secured ?? { name: null, channel: '' };
    if (proven !== null && proven !== asked.client) {
      this.#refuse(frame, Errno.EACCES, `it says to be '${asked.client}', but its certificate is of '${proven}'`);
      return;
    }
    const key = this.#gate.keyOf(asked.client, proven);
    // Whoever is not known is told no more than who has the wrong key.
    const expected = clientProof(key ?? 'nobody', asked, told, joining, channel);
    if (key === null || !isSameProof(joining.proof, expected)) {
      this.#refuse(frame, Errno.EACCES, `'${asked.client}' is not known, or has another key`);
      return;
    }
    const session = this.#gate.sessionOf(asked.client, joining.session, this.address, asked.version);
    if (!session) {
      this.#refuse(frame, Errno.ESTALE, 'the session is over, or there are too many');
      return;
    }
    if (!session.joined(joining.path, joining.generation, this)) {
      this.#refuse(frame, Errno.EALREADY, 'its path has a newer connection');
      return;
    }
    this.#session = session;
    this.#load = this.#gate.loadOf(asked.client, this.address);
    this.#load.join(this.#breathe);
    this.#path = joining.path;
    const proof = serverProof(key, asked, told, { ...joining, session: session.id }, channel);
    this.reply(frame, 0, [encodeMessage({ proof, session: session.id, leaseMs: this.#gate.leaseMs })]);
    this.#frames.checked = joining.checked;
    this.#frames.payloadMaxBytes = Number.POSITIVE_INFINITY;
  }

  #refuse(frame: RequestFrame, errno: Errno, why: string): void {
    this.reply(frame, errno);
    this.#frames.close();
    this.#ended(this, why);
  }

  #gone(why: string | null): void {
    this.#session?.left(this.#path, this);
    this.#load?.leave(this.#breathe);
    this.#ended(this, why);
  }
}
