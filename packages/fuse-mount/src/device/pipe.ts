/**
 * Readiness of a descriptor that Node has no class for: libuv's Pipe handle takes any descriptor that epoll knows, and
 * reads it into our own buffer on the loop. The constructor comes from a live unix socket, hence no private binding.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer, type Server, Socket, type SocketConstructorOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface PipeHandle {
  open(fd: number): number | undefined;
  readStart(): number;
  readStop(): number;
  reading: boolean;
}
type PipeConstructor = new (kind: 0) => PipeHandle;

let known: Promise<PipeConstructor> | undefined;

async function findConstructor(): Promise<PipeConstructor> {
  const path = join(tmpdir(), `mortar-${process.pid}-${randomUUID()}.sock`);
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    const handle = (server as Server & { _handle?: object })._handle;
    if (!handle) throw new Error('this Node hides the handle of a listening socket');
    return handle.constructor as PipeConstructor;
  } finally {
    server.close();
    rmSync(path, { force: true });
  }
}

export interface PipeEvents {
  /** Where the next read goes. */
  buffer(): Buffer;
  received(length: number): void;
  /** The descriptor is at its end or failed. */
  ended(error: NodeJS.ErrnoException | undefined): void;
}

export interface Pipe {
  pause(): void;
  resume(): void;
  /** Closes the descriptor. */
  close(): void;
}

export async function openPipe(fd: number, events: PipeEvents): Promise<Pipe> {
  known ??= findConstructor();
  const handle = new (await known)(0);
  const failed = handle.open(fd);
  if (failed) throw new Error(`libuv does not take descriptor ${fd}: error ${failed}`);
  // `handle` and `onread` are understood by net.Socket, but not part of the declared options of its constructor.
  const options = {
    handle,
    readable: true,
    writable: false,
    onread: {
      buffer: () => events.buffer(),
      callback: (length: number) => {
        events.received(length);
        return true;
      },
    },
  };
  const socket = new Socket(options as SocketConstructorOpts);
  let over = false;
  const end = (error?: NodeJS.ErrnoException) => {
    if (over) return;
    over = true;
    socket.destroy();
    events.ended(error);
  };
  socket.on('error', end);
  socket.on('end', () => end());
  socket.on('close', () => end());
  socket.read(0);
  return {
    pause: () => {
      if (!over && handle.reading) {
        handle.reading = false;
        handle.readStop();
      }
    },
    resume: () => {
      if (!over && !handle.reading) {
        handle.reading = true;
        handle.readStart();
      }
    },
    close: () => end(),
  };
}
