/** Connects to a server from one of this machine's interfaces. */
import type { Stream } from '@mortar/rpc/stream.ts';
import { NodeStream } from '@mortar/rpc/transports/node-stream.ts';
import { openSocket } from '@mortar/rpc/transports/tcp.ts';

export interface Way {
  readonly host: string;
  readonly port: number;
  /** Address of the interface; absent: whichever the routes say. */
  readonly from?: string;
}

export async function dial({ host, port, from }: Way): Promise<Stream> {
  const options = from === undefined ? { host, port } : { host, port, localAddress: from };
  const socket = await openSocket(options, `${host}:${port}`);
  socket.setNoDelay(true);
  const isLocal = host === '::1' || host.startsWith('127.');
  return new NodeStream(socket, { kind: 'tcp', address: host, port, isLocal, isLocalRoot: false });
}
