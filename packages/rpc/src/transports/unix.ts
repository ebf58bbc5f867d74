import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import {
  type Address,
  type Listener,
  type PeerIdentity,
  printableAddress,
  type Stream,
  type Transport,
} from '../stream.ts';
import { NodeStream } from './node-stream.ts';
import { listenerOf, listening, openSocket } from './tcp.ts';

const backlog = 1024;
/** sun_path less its final NUL. */
const pathMaxBytes = 107;

function peer(path: string, isLocalRoot: boolean): PeerIdentity {
  return { kind: 'unix', address: path, port: 0, isLocal: true, isLocalRoot };
}

/** A socket file that nobody listens on any more is removed; one in use is left, and listening then fails. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found?.isSocket()) return;
  try {
    (await openSocket({ path }, path)).destroy();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') unlinkSync(path);
  }
}

function pathOf(address: Address): string {
  if (address.kind !== 'unix') throw new Error(`${printableAddress(address)} is no unix socket`);
  if (Buffer.byteLength(address.path) > pathMaxBytes)
    throw new Error(`the path of a unix socket has at most ${pathMaxBytes} bytes: ${address.path}`);
  return address.path;
}

export interface UnixOptions {
  /** Called with the descriptor of each connection: what Node cannot set on a socket. */
  prepare?(fd: number): void;
}

/** Node has no other way to tell; where it keeps its handles elsewhere nothing is prepared. */
function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } })._handle?.fd ?? -1;
}

export function unixTransport({ prepare }: UnixOptions = {}): Transport {
  const prepared = (socket: Socket): Socket => {
    const fd = descriptorOf(socket);
    if (fd >= 0) prepare?.(fd);
    return socket;
  };
  return {
    async connect(address: Address): Promise<Stream> {
      const path = pathOf(address);
      return new NodeStream(prepared(await openSocket({ path }, path)), peer(path, false));
    },

    async listen(address: Address, onStream: (stream: Stream) => void): Promise<Listener> {
      const path = pathOf(address);
      const mode = address.kind === 'unix' ? (address.mode ?? 0o600) : 0o600;
      const isOwnersOnly = (mode & 0o077) === 0;
      await removeStale(path);
      const server = createServer({ pauseOnConnect: true }, (socket) =>
        onStream(new NodeStream(prepared(socket), peer(path, isOwnersOnly))),
      );
      await listening(server, () => {
        // bind(2) happens within listen(): there is no moment in which others could open the socket.
        const before = process.umask(0o777 & ~mode);
        try {
          server.listen({ path, backlog });
        } finally {
          process.umask(before);
        }
      });
      return listenerOf(server, { kind: 'unix', path });
    },
  };
}
