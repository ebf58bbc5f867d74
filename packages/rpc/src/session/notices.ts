/** What sessions tell each other without an answer. */
import type { GraphEvent } from '@mortar/core/events.ts';
import type { ByteReader } from '../byte-reader.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { FrameError } from '../frame.ts';

/** `op` of notices on the fop channel. */
export const SessionNotice = {
  /** Client to brick: nobody waits for the request with this sequence number any more; its answer is dropped. */
  abandon: 1,
  /** Client to brick: end this request early if it blocks, and answer it. */
  interrupt: 4,
  /** Client to brick: an fd was closed (u32 number). */
  release: 2,
  /** Brick to client: an upcall. */
  upcall: 3,
} as const;

export type Upcall = Extract<GraphEvent, { type: 'upcall' }>;

const kinds: readonly Upcall['what'][] = ['data', 'metadata', 'entry', 'lock-contended', 'accused', 'recalled'];

export function writeUpcall(out: ByteWriter, upcall: Upcall): void {
  out.gfid(upcall.gfid);
  out.u8(kinds.indexOf(upcall.what));
  out.u8((upcall.domain === undefined ? 0 : 1) | (upcall.name === undefined ? 0 : upcall.name === null ? 4 : 2));
  if (upcall.domain !== undefined) out.utf8(upcall.domain);
  if (typeof upcall.name === 'string') out.latin1(upcall.name);
}

export function readUpcall(input: ByteReader): Upcall {
  const gfid = input.gfid();
  const what = kinds[input.u8()];
  if (!what) throw new FrameError('decode', 'an unknown kind of upcall');
  const present = input.u8();
  const upcall: Upcall = { type: 'upcall', gfid, what };
  if (present & 1) upcall.domain = input.utf8();
  if (present & 2) upcall.name = input.latin1();
  else if (present & 4) upcall.name = null;
  input.finish();
  return upcall;
}
