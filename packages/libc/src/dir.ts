/** Directory listing by getdents64. */
import type { ByteString } from '@mortar/core';
import { lseek } from './file.ts';
import { bind, Memory, outcome } from './native.ts';

const getdents64 = bind('getdents64', 'long', ['int', 'void *', 'size_t']);
const room = 64 * 1024;
const memory = new Memory(room);
const bytes = Buffer.from(memory.bytes.buffer as ArrayBuffer);

/** What one getdents64 call found: parallel arrays, `.` and `..` included. */
export interface DirentBatch {
  readonly names: ByteString[];
  readonly inos: number[];
  /** DT_ values. */
  readonly types: number[];
}

export function direntBatch(): DirentBatch {
  return { names: [], inos: [], types: [] };
}

/** Replaces the contents of `out` by the next entries of an open directory; their number, 0 at the end. */
export function getdents(fd: number, out: DirentBatch): number {
  out.names.length = out.inos.length = out.types.length = 0;
  const length = outcome(getdents64(fd, memory.bytes, room));
  if (length < 0) return length;
  // struct linux_dirent64: u64 ino, i64 off, u16 reclen, u8 type, name with NUL.
  for (let at = 0; at < length; at += memory.u16(at + 16)) {
    const start = at + 19;
    out.names.push(bytes.toString('latin1', start, bytes.indexOf(0, start)));
    out.inos.push(memory.u64(at));
    out.types.push(bytes[at + 18]!);
  }
  return out.names.length;
}

/** Calls `each` for every entry but `.` and `..`, from the start; 0 or the negative errno. False ends early. */
export function forEachDirent(fd: number, each: (name: ByteString, ino: number, type: number) => unknown): number {
  const rewound = lseek(fd, 0, 0);
  if (rewound < 0) return rewound;
  const batch = direntBatch();
  for (;;) {
    const count = getdents(fd, batch);
    if (count <= 0) return count;
    for (let i = 0; i < count; i++) {
      const name = batch.names[i]!;
      if (name === '.' || name === '..') continue;
      if (each(name, batch.inos[i]!, batch.types[i]!) === false) return 0;
    }
  }
}
