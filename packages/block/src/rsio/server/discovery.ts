/** Answers who looks for servers by UDP, on interfaces whose configuration allows it. What comes is bounded in every way. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Clock, Log } from '@mortar/core';
import { TokenBucket } from '../../device/token-bucket.ts';
import { type Answer, decodeQuestion, encodeAnswer } from '../discovery.ts';
import { broadcastOf, localAddresses } from '../networks.ts';

export interface DiscoveryPlace {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** `broadcast`: also questions to all of its network. */
  readonly discovery: 'off' | 'unicast' | 'broadcast';
}

export interface DiscoveryOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Who the server is, now. */
  readonly introduce: () => Omit<Answer, 'addresses'>;
}

/** Answers a second: of all, and to one address. */
const answersPerSecond = 100;
const answersPerSecondEach = 5;
const askersMax = 1024;
const origin = 'discovery';

export class DiscoveryServer {
  readonly #options: DiscoveryOptions;
  readonly #sockets: Socket[] = [];
  readonly #all: TokenBucket;
  readonly #askers = new Map<string, TokenBucket>();
  #places: readonly DiscoveryPlace[] = [];
  answered = 0;
  /** Questions that got no answer: too many, or none at all. */
  dropped = 0;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    this.#all = new TokenBucket(options.clock, answersPerSecond, answersPerSecond);
  }

  /** `places`: all interfaces of the server, as they are bound. Throws when one cannot be listened on. */
  async listen(places: readonly DiscoveryPlace[]): Promise<void> {
    this.#places = places;
    for (const place of places) {
      if (place.discovery === 'off') continue;
      const socket = await this.#bound(place.address, place.port);
      socket.on('message', (bytes, from) => this.#asked(socket, place, bytes, from));
      if (place.discovery === 'broadcast') await this.#hearAll(place, socket);
      this.#options.log.write(
        'INFO',
        origin,
        `questions are answered on ${place.name}: ${place.address}:${place.port}`,
      );
    }
  }

  /** Answers leave from the interface's own address. */
  async #hearAll(place: DiscoveryPlace, answering: Socket): Promise<void> {
    const own = localAddresses().find(({ address }) => address === place.address);
    const all = own ? broadcastOf(own) : null;
    if (all === null) {
      const why = `${place.address} is no address of a network with broadcasts`;
      this.#options.log.write(
        'WARNING',
        origin,
        `[interface ${place.name}]: only questions to itself are heard: ${why}`,
      );
      return;
    }
    const socket = await this.#bound(all, place.port);
    socket.on('message', (bytes, from) => this.#asked(answering, place, bytes, from));
  }

  #bound(address: string, port: number): Promise<Socket> {
    const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true });
    this.#sockets.push(socket);
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ address, port }, () => {
        socket.removeListener('error', reject);
        // Of a datagram that could not be sent, for example: it is lost, as any may be.
        socket.on('error', () => undefined);
        resolve(socket);
      });
    });
  }

  #asked(socket: Socket, place: DiscoveryPlace, bytes: Buffer, from: RemoteInfo): void {
    const question = decodeQuestion(bytes);
    const { addresses, ...own } = { addresses: this.#addressesFrom(place), ...this.#options.introduce() };
    const isMeant = question && (question.asked.namespace === '' || question.asked.namespace === own.namespace);
    if (!question || !isMeant || !this.#mayAnswer(from.address)) {
      this.dropped++;
      return;
    }
    const answer = encodeAnswer(question.nonce, { ...own, addresses });
    if (answer.length > bytes.length) {
      this.dropped++;
      return;
    }
    this.answered++;
    socket.send(answer, from.port, from.address, () => undefined);
  }

  #addressesFrom(first: DiscoveryPlace): Answer['addresses'] {
    const others = this.#places.filter((place) => place !== first && !/^(0\.0\.0\.0|::)$/.test(place.address));
    return [first, ...others].map(({ address, port }) => ({ address, port }));
  }

  #mayAnswer(address: string): boolean {
    let own = this.#askers.get(address);
    if (!own) {
      own = new TokenBucket(this.#options.clock, answersPerSecondEach, 2 * answersPerSecondEach);
      if (this.#askers.size >= askersMax) this.#askers.delete(this.#askers.keys().next().value!);
      this.#askers.set(address, own);
    }
    if (own.waitMs(1) > 0 || this.#all.waitMs(1) > 0) return false;
    own.take(1);
    this.#all.take(1);
    return true;
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#sockets.splice(0).map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
    );
  }
}
