/** Connects to a server from one of this machine's interfaces. */
import type { Socket } from 'node:net';
import type { PeerIdentity, Stream } from '@mortar/rpc/stream.ts';
import { NodeStream } from '@mortar/rpc/transports/node-stream.ts';
import { openSocket } from '@mortar/rpc/transports/tcp.ts';
import { type ClientTls, NoTls, secureSocket } from '../tls/client.ts';
import { secure } from '../tls/secured.ts';

export interface Way {
  readonly host: string;
  readonly port: number;
  /** Address of the interface; absent: whichever the routes say. */
  readonly from?: string;
  /** Absent: in the clear. */
  readonly tls?: ClientTls;
}

async function open({ host, port, from }: Way): Promise<Socket> {
  const options = from === undefined ? { host, port } : { host, port, localAddress: from };
  const socket = await openSocket(options, `${host}:${port}`);
  socket.setNoDelay(true);
  return socket;
}

export async function dial(way: Way): Promise<Stream> {
  const { host, port, tls } = way;
  const isLocal = host === '::1' || host.startsWith('127.');
  const peer: PeerIdentity = { kind: 'tcp', address: host, port, isLocal, isLocalRoot: false };
  const socket = await open(way);
  if (!tls) return new NodeStream(socket, peer);
  try {
    const { socket: safe, secured } = await secureSocket(socket, tls, `${host}:${port}`);
    const stream = new NodeStream(safe, secured.name === null ? peer : { ...peer, tlsName: secured.name });
    secure(stream, secured);
    return stream;
  } catch (error) {
    // In the clear the hello says that TLS was wanted: a server that speaks it refuses then.
    if (tls.mode === 'allowed' && error instanceof NoTls) return new NodeStream(await open(way), peer);
    throw error;
  }
}
