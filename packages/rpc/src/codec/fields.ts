/** One writer and one reader for each kind of field. */
import type { Fd, Loc } from '@mortar/core/fd.ts';
import type { Dirent, Field, Flock, ScalarKind, Xattrs, Xdata } from '@mortar/core/fields.ts';
import type { Gfid } from '@mortar/core/gfid.ts';
import type { AttrChange, Iatt, Statfs, Timespec } from '@mortar/core/iatt.ts';
import { FrameError } from '../frame.ts';
import type { Decoder, Encoder } from './coder.ts';
import * as structures from './structures.ts';
import { readXdata, writeXdata } from './xdata.ts';

export interface FieldCodec<T = unknown> {
  write(encoder: Encoder, value: T): void;
  read(decoder: Decoder): T;
}

/** Kinds that are written and read by themselves; steps and replies of a compound need the fop table. */
export type PlainKind = Exclude<ScalarKind, 'steps' | 'replies'>;

function check(ok: boolean, value: unknown, kind: string): void {
  if (!ok) throw new RangeError(`${String(value)} is no ${kind}`);
}

function readBool(decoder: Decoder): boolean {
  const byte = decoder.in.u8();
  if (byte > 1) throw new FrameError('decode', `${byte} is no truth value`);
  return byte === 1;
}

export const plainCodecs: { readonly [K in PlainKind]: FieldCodec<never> } = {
  u8: codec<number>(
    (e, v) => {
      check((v & 0xff) === v, v, 'u8');
      e.out.u8(v);
    },
    (d) => d.in.u8(),
  ),
  u32: codec<number>(
    (e, v) => {
      check(v >>> 0 === v, v, 'u32');
      e.out.u32(v);
    },
    (d) => d.in.u32(),
  ),
  i32: codec<number>(
    (e, v) => {
      check((v | 0) === v, v, 'i32');
      e.out.i32(v);
    },
    (d) => d.in.i32(),
  ),
  u64: codec<number>(
    (e, v) => e.out.u64(v),
    (d) => d.in.u64(),
  ),
  i64: codec<number>(
    (e, v) => e.out.i64(v),
    (d) => d.in.i64(),
  ),
  bool: codec<boolean>((e, v) => e.out.u8(v ? 1 : 0), readBool),
  gfid: codec<Gfid>(
    (e, v) => e.out.gfid(v),
    (d) => d.in.gfid(),
  ),
  bytes: codec<Uint8Array>(
    (e, v) => {
      e.out.u32(v.length);
      e.out.raw(v);
    },
    (d) => d.in.raw(d.in.u32()),
  ),
  text: codec<string>(
    (e, v) => e.out.utf8(v),
    (d) => d.in.utf8(),
  ),
  name: codec<string>(
    (e, v) => e.out.latin1(v),
    (d) => d.in.latin1(),
  ),
  timespec: codec<Timespec>(
    (e, v) => structures.writeTimespec(e.out, v),
    (d) => structures.readTimespec(d.in),
  ),
  iatt: codec<Iatt>(
    (e, v) => structures.writeIatt(e.out, v),
    (d) => structures.readIatt(d.in),
  ),
  loc: codec<Loc>(
    (e, v) => structures.writeLoc(e.out, v),
    (d) => structures.readLoc(d.in),
  ),
  fd: codec<Fd>(
    (e, v) => e.fd(v),
    (d) => d.fd(),
  ),
  xattrs: codec<Xattrs>(
    (e, v) => structures.writeXattrs(e.out, v),
    (d) => structures.readXattrs(d.in),
  ),
  attr: codec<AttrChange>(
    (e, v) => structures.writeAttr(e.out, v),
    (d) => structures.readAttr(d.in),
  ),
  statfs: codec<Statfs>(
    (e, v) => structures.writeStatfs(e.out, v),
    (d) => structures.readStatfs(d.in),
  ),
  flock: codec<Flock>(
    (e, v) => structures.writeFlock(e.out, v),
    (d) => structures.readFlock(d.in),
  ),
  dirents: codec<Dirent[]>(
    (e, v) => structures.writeDirents(e.out, v),
    (d) => structures.readDirents(d.in),
  ),
  xdata: codec<Xdata>(
    (e, v) => writeXdata(e.out, v),
    (d) => readXdata(d.in),
  ),
  payload: codec<Uint8Array>(
    (e, v) => {
      e.out.u32(v.length);
      if (v.length === 0) return;
      if (e.payloads) e.payloads.push(v);
      else e.payloads = [v];
    },
    (d) => d.takePayload(d.in.u32()),
  ),
};

function codec<T>(write: (encoder: Encoder, value: T) => void, read: (decoder: Decoder) => T): FieldCodec<never> {
  return { write, read } as unknown as FieldCodec<never>;
}

/** Puts together the codec of a list or an enum, or takes that of a plain kind. */
export function fieldCodec(field: Field<unknown>): FieldCodec {
  if (field.kind === 'list') return listCodec(fieldCodec(field.of!));
  if (field.kind === 'enum') return enumCodec(field.values!);
  const plain = plainCodecs[field.kind as PlainKind];
  if (!plain) throw new Error(`no codec for a field of kind ${field.kind}`);
  return plain as FieldCodec;
}

function listCodec(element: FieldCodec): FieldCodec {
  const write = (encoder: Encoder, values: unknown[]): void => {
    encoder.out.u32(values.length);
    for (const value of values) element.write(encoder, value);
  };
  const read = (decoder: Decoder): unknown[] => {
    const values: unknown[] = [];
    // No kind is empty on the wire: a count that lies runs out of bytes.
    for (let left = decoder.in.u32(); left > 0; left--) values.push(element.read(decoder));
    return values;
  };
  return codec(write, read) as FieldCodec;
}

function enumCodec(values: readonly string[]): FieldCodec {
  const write = (encoder: Encoder, value: string): void => {
    const index = values.indexOf(value);
    check(index >= 0, value, values.join(' | '));
    encoder.out.u8(index);
  };
  const read = (decoder: Decoder): string => {
    const value = values[decoder.in.u8()];
    if (value === undefined) throw new FrameError('decode', `a value beyond ${values.join(' | ')}`);
    return value;
  };
  return codec(write, read) as FieldCodec;
}
