/**
 * Arguments and replies of every fop on the wire, put together once from core's fop table. Written are: one byte that
 * says which optional fields are there, then the fields in the order of the table.
 */
import { asErrno } from '@mortar/core/errno.ts';
import type { Fd } from '@mortar/core/fd.ts';
import { type Fields, f, optional, type RawReply, type RawStep } from '@mortar/core/fields.ts';
import { type Args, type FopName, fopById, fopNames, fops, type Reply } from '@mortar/core/fops.ts';
import type { Gfid } from '@mortar/core/gfid.ts';
import { FrameError } from '../frame.ts';
import type { ClientFds, Decoder, Encoder } from './coder.ts';
import { type FieldCodec, fieldCodec } from './fields.ts';

/** Most steps of a compound. */
export const stepsMax = 128;

type Bag = Record<string, unknown>;

interface ObjectCodec {
  write(encoder: Encoder, bag: Bag): void;
  read(decoder: Decoder, bag: Bag): void;
}

interface FopCodec {
  args: ObjectCodec;
  reply: ObjectCodec;
}

/** Fops that open the fd given in their arguments: their reply begins with the number that the brick gave it. */
export function makesFd(fop: FopName): boolean {
  return fop === 'open' || fop === 'opendir' || fop === 'create';
}

function objectCodec(fields: Fields, special: Partial<Record<string, FieldCodec>>): ObjectCodec {
  const all = Object.entries(fields).map(([key, field]) => ({
    key,
    codec: special[field.kind] ?? fieldCodec(field),
    bit: 0,
    isOptional: field.optional === true,
  }));
  const optionals = all.filter((field) => field.isOptional);
  if (optionals.length > 8) throw new Error('more than eight optional fields');
  optionals.forEach((field, i) => {
    field.bit = 1 << i;
  });
  const required = all.filter((field) => !field.isOptional);
  const known = (1 << optionals.length) - 1;
  return {
    write(encoder, bag) {
      let present = 0;
      for (const { key, bit } of optionals) if (bag[key] !== undefined) present |= bit;
      encoder.out.u8(present);
      for (const { key, codec } of required) codec.write(encoder, bag[key]);
      if (present) for (const { key, codec, bit } of optionals) if (present & bit) codec.write(encoder, bag[key]);
    },
    read(decoder, bag) {
      const present = decoder.in.u8();
      if (present & ~known) throw new FrameError('decode', `unknown optional fields 0x${present.toString(16)}`);
      for (const { key, codec } of required) bag[key] = codec.read(decoder);
      if (present) for (const { key, codec, bit } of optionals) if (present & bit) bag[key] = codec.read(decoder);
    },
  };
}

const stepsCodec: FieldCodec<RawStep[]> = {
  write(encoder, steps) {
    if (steps.length > stepsMax) throw new RangeError(`a compound of ${steps.length} steps`);
    encoder.out.u8(steps.length);
    encoder.stepFds = [];
    for (const { fop, args } of steps) {
      if (fop === 'compound') throw new RangeError('a compound within a compound');
      encoder.out.u16(fops[fop as FopName].id);
      codecs[fop as FopName].args.write(encoder, args as Bag);
      encoder.stepFds.push(makesFd(fop as FopName) ? (args as { fd: Fd }).fd : undefined);
    }
  },
  read(decoder) {
    const steps: RawStep[] = [];
    const count = decoder.in.u8();
    if (count > stepsMax) throw new FrameError('decode', `a compound of ${count} steps`);
    decoder.stepFds = [];
    for (let i = 0; i < count; i++) {
      const fop = fopById(decoder.in.u16());
      if (!fop || fop === 'compound') throw new FrameError('decode', 'a step that cannot be one');
      const args = readArgs(fop, decoder);
      decoder.stepFds.push(makesFd(fop) ? (args.fd as Fd) : undefined);
      steps.push({ fop, args });
    }
    return steps;
  },
};

const nothing: FieldCodec = { write: () => undefined, read: () => undefined };

const codecs = Object.fromEntries(
  fopNames.map((name) => {
    // The fd to be opened does not exist on the other side yet: only its gfid travels, with the reply its number.
    const args = makesFd(name) ? { ...fops[name].args, fd: f.gfid } : fops[name].args;
    const special = { steps: stepsCodec as FieldCodec, replies: nothing };
    const reply = { ...fops[name].reply, xdata: optional(f.xdata) };
    return [
      name,
      { args: makesFd(name) ? newFdCodec(args, name) : objectCodec(args, special), reply: objectCodec(reply, special) },
    ];
  }),
) as Record<FopName, FopCodec>;

function newFdCodec(fields: Fields, name: FopName): ObjectCodec {
  const inner = objectCodec(fields, {});
  return {
    write: (encoder, bag) => inner.write(encoder, { ...bag, fd: (bag.fd as Fd).gfid }),
    read(decoder, bag) {
      inner.read(decoder, bag);
      if (!decoder.fds) throw new FrameError('decode', 'an fd where none can be');
      bag.fd = decoder.fds.make(bag.fd as Gfid, name === 'opendir' ? 0 : (bag.flags as number));
    },
  };
}

const failureCodec = objectCodec({ xdata: optional(f.xdata) }, {});

export function writeArgs<N extends FopName>(fop: N, encoder: Encoder, args: Args<N>): void {
  codecs[fop].args.write(encoder, args as Bag);
}

/** Reads the arguments; the caller checks that nothing is left. Throws FrameError, UnknownFdError. */
export function readArgs(fop: FopName, decoder: Decoder): Bag {
  const bag: Bag = {};
  codecs[fop].args.read(decoder, bag);
  return bag;
}

/** Writes a reply. Its errno is not part of it (the frame's header has it). `register` numbers an fd that was opened. */
export function writeReply(
  fop: FopName,
  encoder: Encoder,
  args: Bag,
  reply: Reply<FopName>,
  register: (fd: Fd) => number,
): void {
  if (!reply.ok) {
    failureCodec.write(encoder, reply as unknown as Bag);
    return;
  }
  if (makesFd(fop)) encoder.out.u32(register(args.fd as Fd));
  codecs[fop].reply.write(encoder, reply as unknown as Bag);
  if (fop !== 'compound') return;
  const { replies } = reply as unknown as { replies: RawReply[] };
  const steps = args.steps as RawStep[];
  encoder.out.u8(replies.length);
  replies.forEach((stepReply, i) => {
    const step = steps[i]!;
    encoder.out.i32(stepReply.ok ? 0 : (stepReply as unknown as { errno: number }).errno);
    writeReply(step.fop as FopName, encoder, step.args as Bag, stepReply as Reply<FopName>, register);
  });
}

/** Reads the reply to `fop(args)`; `status` is 0 or an errno. */
export function readReply<N extends FopName>(
  fop: N,
  decoder: Decoder,
  args: Args<N>,
  status: number,
  fds: ClientFds,
): Reply<N> {
  if (status !== 0) {
    const failure: Bag = { ok: false, errno: asErrno(status) };
    failureCodec.read(decoder, failure);
    return failure as unknown as Reply<N>;
  }
  const reply: Bag = { ok: true };
  const id = makesFd(fop) ? decoder.in.u32() : 0;
  codecs[fop].reply.read(decoder, reply);
  if (id !== 0) fds.opened((args as unknown as { fd: Fd }).fd, id);
  if (fop === 'compound') reply.replies = readStepReplies(decoder, (args as Args<'compound'>).steps, fds);
  return reply as unknown as Reply<N>;
}

function readStepReplies(decoder: Decoder, steps: readonly RawStep[], fds: ClientFds): RawReply[] {
  const replies: RawReply[] = [];
  const count = decoder.in.u8();
  if (count > steps.length) throw new FrameError('decode', `${count} replies to ${steps.length} steps`);
  for (let i = 0; i < count; i++) {
    const { fop, args } = steps[i]!;
    const status = decoder.in.i32();
    replies.push(readReply(fop as FopName, decoder, args as Args<FopName>, status, fds));
  }
  return replies;
}
