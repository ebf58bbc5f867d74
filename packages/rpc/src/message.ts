/** msgpack for dictionaries. Plain data only: no shared structures, no class instances. */
import { Packr, Unpackr } from 'msgpackr';
import { FrameError } from './frame.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

export function packMessage(value: unknown): Buffer {
  return packr.pack(value);
}

/** Whatever the bytes hold; malformed ones are a bad frame. The value shares no memory with `bytes`. */
export function unpackMessage(bytes: Uint8Array): unknown {
  try {
    return unpackr.unpack(bytes);
  } catch (error) {
    throw new FrameError('decode', `a message cannot be decoded: ${(error as Error).message}`);
  }
}
