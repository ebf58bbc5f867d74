/**
 * rsiod-keeper SOCKET SECONDS: holds the descriptors of FUSE files, so that they outlive rsiod, and does nothing else. A
 * descriptor that nobody holds any more ends its connection: that is what happens after SECONDS without a daemon. One thread, no
 * event loop: it sleeps in poll.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { byteString, Errno, errnoName } from '@mortar/core';
import {
  accept,
  close,
  connectUnix,
  listenUnix,
  POLLIN,
  type PollFd,
  poll,
  receiveFds,
  SOCK_SEQPACKET,
  sendFds,
  setComm,
  umask,
  write,
} from '@mortar/libc';
import { setApart } from '../apart.ts';
import { Keeping } from './keeping.ts';
import { packetMaxBytes } from './protocol.ts';

const clientsMax = 8;
/** The daemon comes at once after it has started the keeper. */
const firstSeconds = 10;

function listen(path: string): number {
  const stale = connectUnix(byteString(path), SOCK_SEQPACKET);
  if (stale >= 0) {
    close(stale);
    return -Errno.EADDRINUSE;
  }
  if (stale === -Errno.ECONNREFUSED && lstatSync(path).isSocket()) unlinkSync(path);
  const before = umask(0o177);
  const listener = listenUnix(byteString(path), SOCK_SEQPACKET);
  umask(before);
  return listener;
}

/** False: the client has gone. */
function serve(client: number, keeping: Keeping, into: Buffer): boolean {
  const received = receiveFds(client, into);
  if (typeof received === 'number') return received === -Errno.EINTR || received === -Errno.EAGAIN;
  if (received.length === 0) {
    for (const fd of received.fds) close(fd);
    return false;
  }
  const { reply, send, close: over } = keeping.answer(into.toString('utf8', 0, received.length), received.fds);
  const bytes = Buffer.from(JSON.stringify(reply));
  const sent = send === null ? write(client, bytes) : sendFds(client, bytes, [send]);
  for (const fd of over) close(fd);
  return sent === bytes.length;
}

function run(path: string, listener: number, keeping: Keeping): void {
  const clients = new Set<number>();
  const into = Buffer.alloc(packetMaxBytes);
  let aloneSinceMs = performance.now();
  let graceSeconds = firstSeconds;
  for (;;) {
    const leftMs = aloneSinceMs + graceSeconds * 1000 - performance.now();
    if (clients.size === 0 && leftMs <= 0) break;
    const fds: PollFd[] = [listener, ...clients].map((fd) => ({ fd, events: POLLIN, revents: 0 }));
    poll(fds, clients.size === 0 ? Math.ceil(leftMs) : -1);
    for (const { fd } of fds.filter(({ revents }) => revents !== 0)) {
      if (fd === listener) {
        const client = accept(listener);
        if (client >= 0 && clients.size >= clientsMax) close(client);
        else if (client >= 0) clients.add(client);
      } else if (!serve(fd, keeping, into)) {
        clients.delete(fd);
        close(fd);
        if (clients.size > 0) continue;
        aloneSinceMs = performance.now();
        graceSeconds = keeping.count > 0 ? keeping.keepSeconds : 0;
      }
    }
  }
  unlinkSync(path);
}

function main([path, seconds]: readonly string[]): number {
  if (path === undefined || !(Number(seconds) > 0)) {
    process.stderr.write('rsiod-keeper is started by rsiod\n');
    return 64;
  }
  setComm('rsiod-keeper');
  const listener = listen(path);
  if (listener < 0) {
    process.stderr.write(`rsiod-keeper: ${path} cannot be listened on: ${errnoName(-listener)}\n`);
    return 1;
  }
  const apart = setApart();
  run(path, listener, new Keeping(Number(seconds), apart.notes));
  apart.leave();
  return 0;
}

process.exitCode = main(process.argv.slice(2));
