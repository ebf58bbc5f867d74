/** One way to a server: a connection that comes back, what is under way on it, and signs of its life. */
import { type Clock, Errno, type Log, type Random } from '@mortar/core';
import type { Stream } from '@mortar/rpc/stream.ts';
import { clientProof, isSameProof, serverProof } from '../authentication.ts';
import { FrameFlag, FrameType, type ReplyFrame } from '../frame.ts';
import { FrameStream } from '../frame-stream.ts';
import {
  decodeMessage,
  encodeMessage,
  type Hello,
  type HelloReply,
  helloReply,
  joinReply,
  protocolVersion,
} from '../messages.ts';
import { type Secured, securedOf } from '../tls/secured.ts';
import type { Request } from './session.ts';
import { UnderWay } from './under-way.ts';

export interface PathPlace {
  /** As it is shown: `if0 IP(TCP) 192.168.10.9/5000`. */
  readonly name: string;
  dial(): Promise<Stream>;
  /** In the clear only where the server speaks no TLS. */
  readonly wantsTls?: boolean;
}

export interface PathHost {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly namespace: string;
  readonly client: string;
  readonly key: string;
  readonly checked: boolean;
  readonly times: PathTimes;
  /** The session to join; null: another path is making it. Empty: make it. */
  sessionId(path: Path): string | null;
  /** `asked`: the session that it asked for. False: that is not the session any more. */
  joined(path: Path, asked: string, session: string): boolean;
  /** The server does not know the session that it asked for. */
  isOver(path: Path, asked: string): void;
  down(path: Path, lost: readonly Request[]): void;
  /** `isOwn`: the payload stays where it is. */
  answered(request: Request, reply: ReplyFrame, payload: Buffer, isOwn: boolean): void;
}

export interface PathTimes {
  /** An idle path is asked so often. */
  readonly pingMs: number;
  /** No answer to a ping for so long: nothing new goes this way. */
  readonly suspectMs: number;
  /** So long, and other paths live: it is closed, and what it had goes over them. */
  readonly deadMs: number;
  /** The same for the last one. */
  readonly lastDeadMs: number;
  readonly connectMs: number;
}

export const usualTimes: PathTimes = { pingMs: 1000, suspectMs: 250, deadMs: 450, lastDeadMs: 5000, connectMs: 5000 };

function refusalOfHello(errno: number): string {
  if (errno === Errno.EPROTONOSUPPORT)
    return `the server does not speak version ${protocolVersion} of the protocol: upgrade servers before clients`;
  return errno === Errno.EPROTO
    ? 'the server speaks TLS, but somebody keeps it from us'
    : `the server refuses: errno ${errno}`;
}

const firstRetryMs = 50;
const lastRetryMs = 2000;
const origin = 'rsio';

export class Path {
  readonly index: number;
  readonly place: PathPlace;
  readonly #host: PathHost;
  readonly #under = new UnderWay();
  /** Smoothed time of a ping. */
  rttMs = 0;
  state: 'idle' | 'connecting' | 'up' = 'idle';
  isSuspect = false;
  #frames: FrameStream | null = null;
  #generation = 0;
  #retryMs = firstRetryMs;
  #heardMs = 0;
  /** When the oldest ping without any sign of life since was sent. */
  #askedMs: number | null = null;
  #isStopped = false;
  #lastWhy = '';

  constructor(index: number, place: PathPlace, host: PathHost) {
    this.index = index;
    this.place = place;
    this.#host = host;
  }

  get isUp(): boolean {
    return this.state === 'up';
  }

  /** What is under way on it, in bytes that requests weigh. */
  get underBytes(): number {
    return this.#under.weight;
  }

  hasRoomFor(request: Request): boolean {
    return this.#under.hasRoomFor(request);
  }

  get generation(): number {
    return this.#generation;
  }

  /** Why it is not connected. */
  get why(): string {
    return this.#lastWhy;
  }

  start(): void {
    if (this.state === 'idle' && !this.#isStopped) void this.#connect();
  }

  stop(): void {
    this.#isStopped = true;
    this.#frames?.destroy('the client ends');
  }

  /** Closes the connection and makes another one. */
  restart(why: string): void {
    this.#frames?.destroy(why);
  }

  async #connect(): Promise<void> {
    const { clock, times } = this.#host;
    this.state = 'connecting';
    let stream: Stream;
    try {
      stream = await this.place.dial();
    } catch (error) {
      this.#later((error as Error).message);
      return;
    }
    if (this.#isStopped) {
      stream.destroy();
      return;
    }
    const frames: FrameStream = new FrameStream(stream, {
      request: () => frames.destroy('it asks for something'),
      reply: (frame, payload, isOwn) => this.#reply(frames, frame, payload, isOwn),
      heard: () => this.#heard(),
      drained: () => this.#heard(),
      ended: (why) => this.#ended(frames, why ?? 'the server closed it'),
    });
    this.#frames = frames;
    clock.after(times.connectMs, () => {
      if (this.#frames === frames && this.state !== 'up') frames.destroy('no answer to the hello');
    });
    frames.start();
    this.#hello(frames, securedOf(stream));
  }

  #later(why: string): void {
    this.state = 'idle';
    if (why !== this.#lastWhy) this.#host.log.write('INFO', origin, `path ${this.place.name}: ${why}`);
    this.#lastWhy = why;
    if (this.#isStopped) return;
    const ms = this.#retryMs;
    this.#retryMs = Math.min(2 * ms, lastRetryMs);
    this.#host.clock.after(ms, () => this.start());
  }

  /** Replies of the handshake, by type. */
  #expect: ((frame: ReplyFrame, payload: Buffer) => void) | null = null;

  #hello(frames: FrameStream, secured: Secured | null): void {
    const { client, namespace, random } = this.#host;
    const asked: Hello = {
      version: protocolVersion,
      namespace,
      client,
      nonce: Buffer.from(random.bytes(16)).toString('hex'),
      ...(this.place.wantsTls ? { tls: true } : {}),
    };
    this.#expect = (frame, payload) => {
      const told = frame.errno === 0 ? decodeMessage(helloReply, payload) : null;
      if (!told) frames.destroy(refusalOfHello(frame.errno));
      else if (secured?.name && secured.name !== told.server)
        frames.destroy(`the server says to be '${told.server}', but its certificate is of '${secured.name}'`);
      else this.#join(frames, asked, told, secured?.channel ?? '');
    };
    this.#control(frames, FrameType.HELLO, asked);
  }

  #join(frames: FrameStream, asked: Hello, told: HelloReply, channel: string): void {
    const { key, checked, clock } = this.#host;
    if (frames.isEnded) return;
    const session = this.#host.sessionId(this);
    if (session === null) {
      clock.after(firstRetryMs, () => this.#join(frames, asked, told, channel));
      return;
    }
    const joining = { session, path: this.index, generation: ++this.#generation, checked };
    this.#expect = (frame, payload) => {
      if (frame.errno === Errno.ESTALE) this.#host.isOver(this, session);
      const reply = frame.errno === 0 ? decodeMessage(joinReply, payload) : null;
      const expected = reply && serverProof(key, asked, told, { ...joining, session: reply.session }, channel);
      if (!reply || !expected) frames.destroy(`the server refuses to let it join: errno ${frame.errno}`);
      else if (!isSameProof(reply.proof, expected)) frames.destroy('the server does not have the key');
      else this.#joined(frames, session, reply.session);
    };
    this.#control(frames, FrameType.JOIN, { ...joining, proof: clientProof(key, asked, told, joining, channel) });
  }

  #joined(frames: FrameStream, asked: string, session: string): void {
    frames.checked = this.#host.checked;
    this.#expect = null;
    this.#lastWhy = '';
    this.#retryMs = firstRetryMs;
    this.state = 'up';
    if (!this.#host.joined(this, asked, session)) {
      frames.destroy('the session has begun anew meanwhile');
      return;
    }
    this.#host.log.write('INFO', origin, `path ${this.place.name} is connected`);
  }

  #control(frames: FrameStream, type: FrameType, message: object): void {
    const payload = encodeMessage(message);
    frames.sendRequest({ type, flags: 0, device: 0, tag: 0, offset: 0, length: payload.length }, [payload]);
  }

  #reply(frames: FrameStream, frame: ReplyFrame, payload: Buffer, isOwn: boolean): void {
    if (this.#expect) {
      this.#expect(frame, payload);
      return;
    }
    if (frame.type === FrameType.PING) {
      // Nobody asked for one that is marked: a long payload is on its way there.
      if ((frame.flags & FrameFlag.AGAIN) === 0) this.#pong();
      return;
    }
    const request = this.#under.get(frame.device, frame.tag);
    if (!request || request.frame.type !== frame.type) {
      // A request that was sent again here may be answered twice: once on each way.
      if ((frame.flags & FrameFlag.AGAIN) === 0 && !request) frames.destroy(`an answer to nothing: tag ${frame.tag}`);
      return;
    }
    this.#under.drop(request);
    this.#host.answered(request, frame, payload, isOwn);
  }

  send(request: Request): void {
    const { frame, payload } = request;
    request.path = this;
    this.#under.add(request);
    const flags = request.wasSent ? frame.flags | FrameFlag.AGAIN : frame.flags;
    request.wasSent = true;
    if (this.#under.count === 1) this.#heardMs = Math.max(this.#heardMs, this.#host.clock.nowMs());
    this.#frames!.sendRequest(flags === frame.flags ? frame : { ...frame, flags }, payload ? [payload] : []);
  }

  /** It is answered, or given up, elsewhere. */
  forget(request: Request): void {
    if (this.#under.get(request.frame.device, request.frame.tag) === request) this.#under.drop(request);
  }

  #heard(): void {
    this.#heardMs = this.#host.clock.nowMs();
    this.isSuspect = false;
    this.#askedMs = null;
  }

  #pong(): void {
    if (this.#pingMs === null) return;
    const took = this.#host.clock.nowMs() - this.#pingMs;
    this.#pingMs = null;
    this.rttMs = this.rttMs === 0 ? took : this.rttMs * 0.8 + took * 0.2;
  }

  #pingMs: number | null = null;

  /** Looks for signs of life; `isLast`: no other path is well. */
  watch(isLast: boolean): void {
    if (!this.isUp || !this.#frames) return;
    const { clock, times } = this.#host;
    const now = clock.nowMs();
    if (this.#askedMs === null) {
      const silentMs = now - this.#heardMs;
      if (silentMs < (this.#under.count > 0 ? times.suspectMs / 2 : times.pingMs)) return;
      this.#askedMs = now;
      this.#pingMs ??= now;
      this.#frames.sendRequest({ type: FrameType.PING, flags: 0, device: 0, tag: 0, offset: 0, length: 0 });
      return;
    }
    const waitedMs = now - this.#askedMs;
    if (waitedMs >= times.suspectMs) this.isSuspect = true;
    if (waitedMs >= (isLast ? times.lastDeadMs : times.deadMs))
      this.#frames.destroy(`it has not answered for ${Math.round(waitedMs)} ms`);
  }

  #ended(frames: FrameStream, why: string): void {
    if (this.#frames !== frames) return;
    this.#frames = null;
    this.#expect = null;
    this.isSuspect = false;
    this.#askedMs = null;
    this.#pingMs = null;
    const lost = this.#under.takeAll();
    const wasUp = this.isUp;
    this.#later(why);
    if (wasUp || lost.length > 0) this.#host.down(this, lost);
  }
}
