/** Asks by UDP which servers there are, at addresses and in whole networks, and collects what comes back in time. */
import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import type { Clock, Random } from '@mortar/core';
import { type Answer, decodeAnswer, encodeQuestion, nonceBytes } from '../discovery.ts';

export interface Target {
  readonly address: string;
  readonly port: number;
}

export interface AskOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** To single servers. */
  readonly seeds: readonly Target[];
  /** To all of the networks of these: from which address, to which. */
  readonly broadcasts: readonly { readonly from: string; readonly to: string; readonly port: number }[];
  readonly namespace: string;
  readonly timeoutMs: number;
}

const answersMax = 1024;
/** A datagram may be lost. */
const rounds = 3;

/** Answers are hints: whoever hears the question can send one. `problems`: what could not be sent. */
export async function ask(options: AskOptions): Promise<{ answers: readonly Answer[]; problems: readonly string[] }> {
  const { clock, random, timeoutMs, namespace } = options;
  const nonce = Buffer.from(random.bytes(nonceBytes));
  const question = encodeQuestion(nonce, { namespace });
  const answers = new Map<string, Answer>();
  const problems = new Set<string>();
  const seeds = options.seeds.filter(({ address }) => isIPv4(address));
  const senders = [
    ...(seeds.length > 0 ? [{ from: '0.0.0.0', targets: seeds, isBroadcast: false }] : []),
    ...options.broadcasts.map(({ from, to, port }) => ({ from, targets: [{ address: to, port }], isBroadcast: true })),
  ];
  const sockets = await Promise.all(
    senders.map(async ({ from, targets, isBroadcast }) => {
      const socket = createSocket('udp4');
      socket.on('error', (error) => problems.add(`from ${from}: ${error.message}`));
      socket.on('message', (bytes) => {
        const answer = decodeAnswer(bytes);
        if (!answer?.nonce.equals(nonce) || answers.size >= answersMax) return;
        answers.set(JSON.stringify(answer.told), answer.told);
      });
      const isBound = await new Promise<boolean>((resolve) => {
        socket.once('error', () => resolve(false));
        socket.bind({ address: from, port: 0 }, () => resolve(true));
      });
      if (isBound && isBroadcast) socket.setBroadcast(true);
      return { socket, targets: isBound ? targets : [] };
    }),
  );
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { socket, targets } of sockets)
        for (const { address, port } of targets)
          socket.send(question, port, address, (error) => {
            if (error) problems.add(`to ${address}:${port}: ${error.message}`);
          });
      await clock.sleep(timeoutMs / rounds);
    }
  } finally {
    for (const { socket } of sockets) socket.close();
  }
  return { answers: [...answers.values()], problems: [...problems] };
}
