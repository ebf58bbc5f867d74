/** Who listens at an address: a hello, and no more. */
import type { Clock, Random } from '@mortar/core';
import type { Stream } from '@mortar/rpc/stream.ts';
import { FrameType } from '../frame.ts';
import { FrameStream } from '../frame-stream.ts';
import { decodeMessage, encodeMessage, type HelloReply, helloReply, protocolVersion } from '../messages.ts';
import { securedOf } from '../tls/secured.ts';

export interface ProbeOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly namespace: string;
  readonly client: string;
  readonly timeoutMs: number;
  readonly wantsTls?: boolean;
}

export const closedText = 'it closed the connection';

/** Throws with the reason when nobody answers, or not as a server of the namespace does. */
export async function probe(dial: () => Promise<Stream>, options: ProbeOptions): Promise<HelloReply> {
  const { clock, random, namespace, client, timeoutMs } = options;
  const stream = await dial();
  return new Promise<HelloReply>((resolve, reject) => {
    const frames: FrameStream = new FrameStream(stream, {
      request: () => frames.destroy('it asks for something'),
      reply: ({ errno }, payload) => {
        const told = errno === 0 ? decodeMessage(helloReply, payload) : null;
        const proven = securedOf(stream)?.name ?? told?.server;
        if (told && proven !== told.server) {
          frames.destroy(`it says to be '${told.server}', but its certificate is of '${proven}'`);
          return;
        }
        if (told) resolve(told);
        frames.destroy(told ? 'that was all' : `it refuses: errno ${errno}`);
      },
      ended: (why) => {
        timer.cancel();
        reject(new Error(why ?? closedText));
      },
    });
    const timer = clock.after(timeoutMs, () => frames.destroy('no answer'));
    frames.start();
    const nonce = Buffer.from(random.bytes(16)).toString('hex');
    const tls = options.wantsTls ? { tls: true } : {};
    const payload = encodeMessage({ version: protocolVersion, namespace, client, nonce, ...tls });
    frames.sendRequest({ type: FrameType.HELLO, flags: 0, device: 0, tag: 0, offset: 0, length: payload.length }, [
      payload,
    ]);
  });
}
