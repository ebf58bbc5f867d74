/** Xdata on the wire: registered keys as typed fields, others (of newer peers) as one msgpack dictionary. */
import type { Xdata } from '@mortar/core/fields.ts';
import type { ByteReader } from '../byte-reader.ts';
import type { ByteWriter } from '../byte-writer.ts';
import { FrameError } from '../frame.ts';
import { packMessage, unpackMessage } from '../message.ts';

interface ValueCodec {
  write(out: ByteWriter, value: never): void;
  read(input: ByteReader): unknown;
}

const number: ValueCodec = { write: (out, value: number) => out.u64(value), read: (input) => input.u64() };
const text: ValueCodec = { write: (out, value: string) => out.utf8(value), read: (input) => input.utf8() };
const flag: ValueCodec = {
  write: (out, value: boolean) => out.u8(value ? 1 : 0),
  read: (input) => input.u8() === 1,
};
const names: ValueCodec = {
  write: (out, value: readonly string[]) => {
    out.u32(value.length);
    for (const name of value) out.latin1(name);
  },
  read: (input) => {
    const list: string[] = [];
    for (let left = input.u32(); left > 0; left--) list.push(input.latin1());
    return list;
  },
};

/** Number on the wire and form of each key. Numbers are never used again. Keys that are missing travel as msgpack. */
const registered: Partial<Record<keyof Xdata, readonly [id: number, codec: ValueCodec]>> = {
  pendingNames: [1, names],
  fence: [2, number],
  contended: [3, flag],
  layout: [4, text],
  keepHandle: [5, flag],
  heal: [6, flag],
  openFdCount: [7, number],
  keepTimes: [8, flag],
  nameless: [9, flag],
};
const otherKeys = 0;
const endOfKeys = 0xff;
/** How deep values of unregistered keys may nest. */
const depthMax = 4;

const codecOf = new Map(Object.entries(registered));
const keyOfId = new Map(Object.entries(registered).map(([key, [id, codec]]) => [id, { key, codec }]));

export function writeXdata(out: ByteWriter, xdata: Xdata): void {
  let others: Record<string, unknown> | undefined;
  for (const key in xdata) {
    const value = xdata[key as keyof Xdata];
    if (value === undefined) continue;
    const known = codecOf.get(key);
    if (known) {
      out.u8(known[0]);
      known[1].write(out, value as never);
    } else {
      others ??= {};
      others[key] = value;
    }
  }
  if (others) {
    const bytes = packMessage(others);
    out.u8(otherKeys);
    out.u32(bytes.length);
    out.raw(bytes);
  }
  out.u8(endOfKeys);
}

export function readXdata(input: ByteReader): Xdata {
  const xdata: Record<string, unknown> = {};
  for (let id = input.u8(); id !== endOfKeys; id = input.u8()) {
    const known = keyOfId.get(id);
    if (known) xdata[known.key] = known.codec.read(input);
    else if (id === otherKeys) readOthers(xdata, input.raw(input.u32()));
    else throw new FrameError('decode', `unknown xdata key ${id}`);
  }
  return xdata as Xdata;
}

function readOthers(xdata: Record<string, unknown>, bytes: Buffer): void {
  const value = unpackMessage(bytes);
  if (!isPlainObject(value) || !isPlain(value, depthMax))
    throw new FrameError('decode', 'xdata is no plain dictionary');
  for (const [key, entry] of Object.entries(value)) {
    if (codecOf.has(key) || key === '__proto__') throw new FrameError('decode', `xdata key ${key} in the wrong place`);
    xdata[key] = entry;
  }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Texts, numbers, truth values, bytes, and lists and dictionaries of them. */
function isPlain(value: unknown, depth: number): boolean {
  if (value === null || ['string', 'number', 'boolean', 'undefined'].includes(typeof value)) return true;
  if (value instanceof Uint8Array) return true;
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depth - 1));
  return isPlainObject(value) && Object.values(value).every((item) => isPlain(item, depth - 1));
}
