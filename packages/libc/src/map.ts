/** Files mapped into memory. For tests: the garbage collector knows nothing of a mapping's end. */
import koffi from 'koffi';
import { bind, outcome } from './native.ts';

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_ANONYMOUS = 0x20;
export const MS_SYNC = 4;

const native = {
  mmap: bind('mmap', 'intptr_t', ['void *', 'size_t', 'int', 'int', 'int', 'int64_t']),
  msync: bind('msync', 'int', ['size_t', 'size_t', 'int']),
  munmap: bind('munmap', 'int', ['size_t', 'size_t']),
};

/** A mapping; `bytes` must not be touched after `unmap`. */
export interface Mapping {
  readonly bytes: Uint8Array;
  /** Writes dirty pages back and waits for it; 0 or the negative errno. */
  sync(): number;
  unmap(): void;
}

/** mmap(2) of `length` bytes from the start of a file, or the negative errno. */
export function mapFile(fd: number, length: number, protection: number, flags: number): Mapping | number {
  const address = native.mmap(null, length, protection, flags, fd, 0);
  if (address === -1) return outcome(-1);
  return {
    bytes: new Uint8Array(koffi.view(address, length)),
    sync: () => outcome(native.msync(address, length, MS_SYNC)),
    unmap: () => void native.munmap(address, length),
  };
}
