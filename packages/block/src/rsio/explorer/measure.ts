/** What one way from an interface of this machine to one of a server is like. */
import { isIPv6 } from 'node:net';
import type { Clock, Log, Random } from '@mortar/core';
import { socketOption } from '@mortar/libc';
import { openSocket } from '@mortar/rpc/transports/tcp.ts';
import { dial, type Way } from '../client/dial.ts';
import { probe } from '../client/probe.ts';
import { ClientSession } from '../client/session.ts';
import { FrameType } from '../frame.ts';
import type { HelloReply } from '../messages.ts';
import type { ClientTls } from '../tls/client.ts';

export interface MeasurePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Bandwidth {
  /** Bytes a second from here to the server, and back. */
  readonly sent: number;
  readonly received: number;
}

const IPPROTO_IP = 0;
const IP_MTU = 14;
const IPPROTO_IPV6 = 41;
const IPV6_MTU = 24;
const roundTrips = 3;

export async function look(way: Way, client: string, ports: MeasurePorts, timeoutMs: number): Promise<HelloReply> {
  const { clock, random } = ports;
  const wantsTls = way.tls !== undefined;
  return probe(() => dial(way), { clock, random, namespace: '', client, timeoutMs, wantsTls });
}

/** The shortest of some round trips (of a connection that is opened), and the largest packet that the kernel knows to pass. */
export async function measureWay(way: Way, { clock }: MeasurePorts): Promise<{ rttMs: number; mtu: number | null }> {
  let rttMs = Number.POSITIVE_INFINITY;
  let mtu: number | null = null;
  const { host, port, from } = way;
  for (let i = 0; i < roundTrips; i++) {
    const began = clock.nowMs();
    const socket = await openSocket(
      { host, port, ...(from === undefined ? {} : { localAddress: from }) },
      `${host}:${port}`,
    );
    rttMs = Math.min(rttMs, clock.nowMs() - began);
    const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
    const [level, name] = isIPv6(socket.remoteAddress ?? '') ? [IPPROTO_IPV6, IPV6_MTU] : [IPPROTO_IP, IP_MTU];
    const told = socketOption(fd, level, name);
    mtu = told > 0 ? told : null;
    socket.destroy();
  }
  return { rttMs, mtu };
}

export interface Identity {
  readonly namespace: string;
  readonly client: string;
  readonly key: string;
  /** How servers of the namespace are spoken to; null: in the clear. */
  readonly tls: ClientTls | null;
}

const pieceBytes = 256 * 1024;
const inFlight = 8;

/** As fast as it goes for a while, over a session of its own with this path only. Null: it does not let us in. */
export async function measureBandwidth(
  way: Way,
  { namespace, client, key }: Identity,
  { clock, random, log }: MeasurePorts,
  forMs: number,
): Promise<Bandwidth | null> {
  const place = { name: `${way.host}/${way.port}`, dial: () => dial(way), wantsTls: way.tls !== undefined };
  const session = new ClientSession({ clock, random, log, namespace, client, key, paths: [place] });
  const limit = clock.after(4 * forMs + 5000, () => session.close());
  try {
    session.start();
    // The first one also waits until the session is there.
    const first = await exchange(session, 0, 0);
    if (first === null) return null;
    const sent = await rate(session, clock, forMs, pieceBytes, 0);
    const received = await rate(session, clock, forMs, 0, pieceBytes);
    return sent === null || received === null ? null : { sent, received };
  } finally {
    limit.cancel();
    session.close();
  }
}

const payload = Buffer.alloc(pieceBytes);

/** Sends so many bytes, and has so many sent back; null: it was not done. */
async function exchange(session: ClientSession, bytes: number, back: number): Promise<number | null> {
  const data = bytes === 0 ? null : payload.subarray(0, bytes);
  const outcome = await session.request(FrameType.PROBE, 0, 0, back, bytes, data);
  return outcome === 'lost' || outcome.errno !== 0 || outcome.payload.length !== back ? null : bytes + back;
}

async function rate(
  session: ClientSession,
  clock: Clock,
  forMs: number,
  bytes: number,
  back: number,
): Promise<number | null> {
  const began = clock.nowMs();
  let moved = 0;
  let isGood = true;
  const worker = async () => {
    while (isGood && clock.nowMs() - began < forMs) {
      const done = await exchange(session, bytes, back);
      if (done === null) isGood = false;
      else moved += done;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return isGood ? (moved * 1000) / Math.max(1, clock.nowMs() - began) : null;
}
