import { type Args, type Fd, type FopName, fopNames, fops, newGfid } from '@mortar/core';
import { argsOf, replyTo } from '@mortar/testing/arbitraries.ts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';
import { FrameError } from '../frame.ts';
import { packMessage } from '../message.ts';
import { FdTable } from '../session/fd-table.ts';
import { seededRandom } from '../test-rig.ts';
import { Decoder, Encoder, UnknownFdError } from './coder.ts';
import { makesFd, readArgs, readReply, writeArgs, writeReply } from './fop-codec.ts';
import { readTimespec, writeTimespec } from './structures.ts';
import { readXdata } from './xdata.ts';

const runs = 25;

/** A client and a server that know the same open files. */
function peers() {
  const table = new FdTable(1000);
  const ids = new Map<Fd, number>();
  const encoder = new Encoder((fd) => ids.get(fd) ?? 0);
  return { table, ids, encoder, fds: { idOf: encoder.idOf, opened: (fd: Fd, id: number) => void ids.set(fd, id) } };
}

function encodeArgs(fop: FopName, encoder: Encoder, args: Args<FopName>) {
  const out = new ByteWriter(16);
  encoder.begin(out);
  writeArgs(fop, encoder, args);
  return { meta: Buffer.from(out.buffer.subarray(0, out.position)), payload: Buffer.concat(encoder.payloads ?? []) };
}

function decodeArgs(fop: FopName, table: FdTable, meta: Buffer, payload: Buffer) {
  const decoder = new Decoder(new ByteReader(meta), payload, table);
  const args = readArgs(fop, decoder);
  decoder.finish();
  return args;
}

/** Fds are other objects on the other side: what stays is the file, and for those being opened the flags. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== 'object' || value === null) return value;
  if ('gfid' in value && 'slots' in value) return { fd: value.gfid };
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, comparable(entry)]));
}

describe.each(fopNames)('%s on the wire', (fop) => {
  it('has the same arguments on the other side', () => {
    fc.assert(
      fc.property(argsOf(fop), (args) => {
        const { table, encoder } = peers();
        const { meta, payload } = encodeArgs(fop, encoder, args as Args<FopName>);
        expect(comparable(decodeArgs(fop, table, meta, payload))).toEqual(comparable(args));
      }),
      { numRuns: runs },
    );
  });

  it('has the same reply on the other side', () => {
    const pairs = argsOf(fop).chain((args) => replyTo(fop, args).map((reply) => ({ args, reply })));
    fc.assert(
      fc.property(pairs, ({ args, reply }) => {
        const { table, encoder, fds } = peers();
        const out = new ByteWriter(16);
        encoder.begin(out);
        writeReply(fop, encoder, args as Record<string, unknown>, reply, (fd) => table.register(fd));
        const payload = Buffer.concat(encoder.payloads ?? []);
        const meta = Buffer.from(out.buffer.subarray(0, out.position));
        const decoder = new Decoder(new ByteReader(meta), payload, null);
        const read = readReply(fop, decoder, args, reply.ok ? 0 : reply.errno, fds);
        decoder.finish();
        expect(comparable(read)).toEqual(comparable(reply));
        if (makesFd(fop)) expect(fds.idOf((args as unknown as { fd: Fd }).fd)).toBe(reply.ok ? 1 : 0);
      }),
      { numRuns: runs },
    );
  });

  it('is refused as a bad frame when it is cut short anywhere', () => {
    const [args] = fc.sample(argsOf(fop), { numRuns: 1, seed: 7 });
    const { table, encoder } = peers();
    const { meta, payload } = encodeArgs(fop, encoder, args as Args<FopName>);
    for (let length = 0; length < meta.length; length += 1 + (length >> 4))
      expect(() => decodeArgs(fop, table, meta.subarray(0, length), payload)).toThrow(FrameError);
  });

  it('throws nothing but what it says on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => {
        try {
          decodeArgs(fop, new FdTable(1), Buffer.from(junk), Buffer.alloc(0));
        } catch (error) {
          if (!(error instanceof FrameError || error instanceof UnknownFdError)) throw error;
        }
      }),
      { numRuns: runs },
    );
  });
});

describe('fds', () => {
  const random = seededRandom();

  it('are found by the number that the brick gave', () => {
    const { table, encoder, ids } = peers();
    const gfid = newGfid(random);
    const there = table.make(gfid, 2);
    const here = { gfid, slots: [] } as unknown as Fd;
    ids.set(here, table.register(there));
    const { meta, payload } = encodeArgs('fstat', encoder, { fd: here } as Args<FopName>);
    expect(decodeArgs('fstat', table, meta, payload).fd).toBe(there);
  });

  it('that the session does not have are EBADF, no bad frame', () => {
    const { table, encoder, ids } = peers();
    const here = { gfid: newGfid(random), slots: [] } as unknown as Fd;
    ids.set(here, 5);
    const { meta, payload } = encodeArgs('fstat', encoder, { fd: here } as Args<FopName>);
    expect(() => decodeArgs('fstat', table, meta, payload)).toThrow(UnknownFdError);
  });

  it('of another file than the request says are EBADF', () => {
    const { table, encoder, ids } = peers();
    const here = { gfid: newGfid(random), slots: [] } as unknown as Fd;
    ids.set(here, table.register(table.make(newGfid(random), 2)));
    const { meta, payload } = encodeArgs('fstat', encoder, { fd: here } as Args<FopName>);
    expect(() => decodeArgs('fstat', table, meta, payload)).toThrow(UnknownFdError);
  });

  it('opened by a step of a compound serve its later steps', () => {
    const { table, encoder } = peers();
    const gfid = newGfid(random);
    const fd = { gfid, slots: [], flags: 2 } as unknown as Fd;
    const loc = { gfid, parent: null, name: null };
    const steps = [
      { fop: 'open', args: { loc, flags: 2, fd } },
      { fop: 'writev', args: { fd, offset: 0, data: Buffer.from('one') } },
      { fop: 'writev', args: { fd, offset: 3, data: Buffer.from('two') } },
    ];
    const { meta, payload } = encodeArgs('compound', encoder, { steps } as unknown as Args<FopName>);
    const read = decodeArgs('compound', table, meta, payload).steps as { args: { fd: Fd; data: Buffer } }[];
    expect(read[0]!.args.fd.flags).toBe(2);
    expect(read[1]!.args.fd).toBe(read[0]!.args.fd);
    expect([read[1]!.args.data.toString(), read[2]!.args.data.toString()]).toEqual(['one', 'two']);
  });
});

it('numbers fops so that no two share one', () => {
  expect(new Set(fopNames.map((name) => fops[name].id)).size).toBe(fopNames.length);
});

describe('values that no sender sends', () => {
  const time = (nsec: number) => {
    const out = new ByteWriter();
    writeTimespec(out, { sec: 1, nsec });
    return new ByteReader(Buffer.from(out.buffer.subarray(0, out.position)));
  };
  const others = (value: unknown) => {
    const bytes = packMessage(value);
    const out = new ByteWriter();
    out.u8(0);
    out.u32(bytes.length);
    out.raw(bytes);
    out.u8(255);
    return new ByteReader(Buffer.from(out.buffer.subarray(0, out.position)));
  };

  it('are refused: a second of nanoseconds', () => {
    expect(readTimespec(time(999_999_999)).nsec).toBe(999_999_999);
    expect(() => readTimespec(time(1_000_000_000))).toThrow(FrameError);
  });

  it.each([[[1]], [7], [null], [{ fence: 'text' }], [{ a: { b: { c: { d: { e: 1 } } } } }], [{ a: new Date(0) }]])(
    'are refused: xdata %j',
    (value) => {
      expect(() => readXdata(others(value))).toThrow(FrameError);
    },
  );

  it('may be xdata keys of a newer peer', () => {
    expect(readXdata(others({ newer: [1, 'x', { y: true }] }))).toEqual({ newer: [1, 'x', { y: true }] });
  });
});

describe('values that do not fit their field', () => {
  const { encoder } = peers();
  it.each([
    ['a negative size', 'truncate', { loc: { gfid: null, parent: null, name: null }, size: -1 }],
    ['a fraction', 'truncate', { loc: { gfid: null, parent: null, name: null }, size: 1.5 }],
    ['flags beyond 32 bits', 'rename', { from: {}, to: {}, flags: 2 ** 32 }],
    ['a name with characters above 255', 'removexattr', { loc: { gfid: null, parent: null, name: null }, name: 'ā' }],
    ['a compound in a compound', 'compound', { steps: [{ fop: 'compound', args: { steps: [] } }] }],
  ])('%s is refused by the sender', (_what, fop, args) => {
    expect(() => encodeArgs(fop as FopName, encoder, args as unknown as Args<FopName>)).toThrow(Error);
  });
});
