/** Sockets over which descriptors are handed: pairs, and unix sockets with a path. And poll, and what the kernel knows of a socket. */
import type { ByteString } from '@mortar/core';
import { AF_UNIX, SOCK_CLOEXEC } from './constants.ts';
import { close } from './file.ts';
import { addressOf, bind, Memory, outcome, path1, putPath } from './native.ts';

const native = {
  socketpair: bind('socketpair', 'int', ['int', 'int', 'int', 'void *']),
  recvmsg: bind('recvmsg', 'long', ['int', 'void *', 'int']),
  sendmsg: bind('sendmsg', 'long', ['int', 'void *', 'int']),
  getsockopt: bind('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']),
  setsockopt: bind('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint32_t']),
  socket: bind('socket', 'int', ['int', 'int', 'int']),
  bind: bind('bind', 'int', ['int', 'void *', 'uint32_t']),
  listen: bind('listen', 'int', ['int', 'int']),
  connect: bind('connect', 'int', ['int', 'void *', 'uint32_t']),
  accept4: bind('accept4', 'int', ['int', 'void *', 'void *', 'int']),
  poll: bind('poll', 'int', ['void *', 'unsigned long', 'int']),
};

const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const SCM_RIGHTS = 1;
/** Most descriptors taken from one message (SCM_MAX_FD is 253). */
const fdsMax = 16;

/** Two connected sockets, or the negative errno. `cloexec` false: the first one is for a child process. */
export function socketpair(domain: number, kind: number, cloexec = true): [number, number] | number {
  const pair = new Memory(8);
  const result = outcome(native.socketpair(domain, cloexec ? kind | SOCK_CLOEXEC : kind, 0, pair.bytes));
  return result < 0 ? result : [pair.i32(0), pair.i32(4)];
}

/** sun_path and its NUL. */
const unixPathMax = 108;
const ENAMETOOLONG = 36;
const backlog = 16;

/** struct sockaddr_un, or the negative errno of a path that cannot be one. */
function unixAddress(path: ByteString): Memory | number {
  const bad = putPath(path, path1);
  if (bad < 0) return bad;
  if (path.length >= unixPathMax) return -ENAMETOOLONG;
  const address = new Memory(2 + unixPathMax);
  address.setU16(0, AF_UNIX);
  address.bytes.set(path1.subarray(0, path.length), 2);
  return address;
}

function unixSocket(path: ByteString, kind: number, use: (fd: number, address: Memory) => number): number {
  const address = unixAddress(path);
  if (typeof address === 'number') return address;
  const fd = outcome(native.socket(AF_UNIX, kind | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const result = use(fd, address);
  if (result >= 0) return fd;
  close(fd);
  return result;
}

/** A socket that listens at a path (which must not exist); its mode is the umask's affair. Or the negative errno. */
export function listenUnix(path: ByteString, kind: number): number {
  return unixSocket(path, kind, (fd, { bytes }) => {
    const bound = outcome(native.bind(fd, bytes, bytes.length));
    return bound < 0 ? bound : outcome(native.listen(fd, backlog));
  });
}

/** A socket connected with the one that listens at a path, or the negative errno. */
export function connectUnix(path: ByteString, kind: number): number {
  return unixSocket(path, kind, (fd, { bytes }) => outcome(native.connect(fd, bytes, bytes.length)));
}

/** The next who has connected, or the negative errno. Waits for one, unless the socket is non-blocking. */
export function accept(fd: number): number {
  return outcome(native.accept4(fd, null, null, SOCK_CLOEXEC));
}

/** struct msghdr with one buffer and one control buffer. */
function message(data: Uint8Array, control: Memory, controlLength: number) {
  const vector = new Memory(16);
  vector.setPointer(0, addressOf(data));
  vector.setI64(8, data.length);
  const header = new Memory(56);
  header.setPointer(16, addressOf(vector.bytes));
  header.setI64(24, 1);
  header.setPointer(32, addressOf(control.bytes));
  header.setI64(40, controlLength);
  // The caller keeps `vector` alive with the header: the kernel reads it through its address.
  return { header, vector };
}

export interface Received {
  /** Bytes put into the buffer; 0 when the other side has closed. */
  length: number;
  fds: number[];
}

/** Receives a message and the descriptors that came with it (close-on-exec), or the negative errno. */
export function receiveFds(socket: number, into: Uint8Array): Received | number {
  const control = new Memory(16 + 4 * fdsMax);
  const { header, vector } = message(into, control, control.bytes.length);
  const length = outcome(native.recvmsg(socket, header.bytes, MSG_CMSG_CLOEXEC));
  if (length < 0) return length;
  void vector;
  const fds: number[] = [];
  const controlLength = header.u64(40);
  for (let at = 0; at + 16 <= controlLength; ) {
    const size = control.u64(at);
    if (size < 16 || at + size > controlLength) break;
    if (control.i32(at + 8) === SOL_SOCKET && control.i32(at + 12) === SCM_RIGHTS) {
      for (let fd = at + 16; fd + 4 <= at + size; fd += 4) fds.push(control.i32(fd));
    }
    at += (size + 7) & ~7;
  }
  return { length, fds };
}

/** Sends bytes (at least one) with descriptors; bytes sent or the negative errno. */
export function sendFds(socket: number, data: Uint8Array, fds: readonly number[]): number {
  const size = 16 + 4 * fds.length;
  const control = new Memory((size + 7) & ~7);
  control.setI64(0, size);
  control.setI32(8, SOL_SOCKET);
  control.setI32(12, SCM_RIGHTS);
  fds.forEach((fd, i) => {
    control.setI32(16 + 4 * i, fd);
  });
  const { header, vector } = message(data, control, control.bytes.length);
  const sent = outcome(native.sendmsg(socket, header.bytes, MSG_NOSIGNAL));
  void vector;
  return sent;
}

export interface PollFd {
  fd: number;
  events: number;
  revents: number;
}

/** poll(2): fills `revents`; how many are ready. Blocks this thread up to `timeoutMs`. */
export function poll(fds: PollFd[], timeoutMs: number): number {
  const memory = new Memory(Math.max(8, 8 * fds.length));
  fds.forEach(({ fd, events }, i) => {
    memory.setI32(8 * i, fd);
    memory.setU16(8 * i + 4, events);
  });
  const result = outcome(native.poll(memory.bytes, fds.length, timeoutMs));
  fds.forEach((entry, i) => {
    entry.revents = memory.u16(8 * i + 6);
  });
  return result;
}

/** A socket's option that is a number, as getsockopt(2) tells it, or the negative errno. */
export function socketOption(socket: number, level: number, name: number): number {
  const value = new Memory(8);
  const length = new Memory(8);
  length.setI32(0, 4);
  const result = outcome(native.getsockopt(socket, level, name, value.bytes, length.bytes));
  return result < 0 ? result : value.i32(0);
}

/** How much may wait in a socket to be received, where the system's limit or our rights allow so much: 0 or the negative errno. */
export function wantSendBuffer(socket: number, bytes: number): number {
  const value = new Memory(4);
  value.setI32(0, bytes);
  // The kernel counts its own overhead in, and doubles what it is told for that.
  const forced = outcome(native.setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, value.bytes, 4));
  return forced === 0 ? 0 : outcome(native.setsockopt(socket, SOL_SOCKET, SO_SNDBUF, value.bytes, 4));
}
