/** fast-check generators for whatever fops carry: one for each kind of field, put together by core's fop table. */
import {
  type Args,
  type AttrChange,
  Errno,
  Fd,
  type Field,
  type Fields,
  type FileType,
  type FopName,
  fopNames,
  fops,
  type Gfid,
  gfidFromBytes,
  type Iatt,
  type Loc,
  type RawStep,
  type Reply,
  type ScalarKind,
  type Statfs,
  type Timespec,
  type Xattrs,
  type Xdata,
} from '@mortar/core';
import * as fc from 'fast-check';

const u32 = fc.nat({ max: 0xffff_ffff });
const u64 = fc.maxSafeNat();
const i64 = fc.maxSafeInteger();
const nsec = fc.nat({ max: 999_999_999 });

export const anyGfid: fc.Arbitrary<Gfid> = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => gfidFromBytes(bytes));

/** Bytes as a string of characters up to 255. */
export function byteStrings(maxLength: number, minLength = 0): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes).toString('latin1'));
}

/** A name that a directory entry may have. */
export const entryName: fc.Arbitrary<string> = byteStrings(255, 1).filter(
  (name) => name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0'),
);

export const bytes: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 64 }).map((value) => Buffer.from(value));

export const timespec: fc.Arbitrary<Timespec> = fc.record({ sec: i64, nsec });

export const iatt: fc.Arbitrary<Iatt> = fc.record({
  gfid: anyGfid,
  type: fc.constantFrom<FileType>(0, 1, 2, 4, 6, 8, 10, 12),
  mode: fc.nat({ max: 0o7777 }),
  nlink: u32,
  uid: u32,
  gid: u32,
  rdevMajor: u32,
  rdevMinor: u32,
  size: u64,
  blockSize: u32,
  blocks: u64,
  atime: i64,
  atimeNsec: nsec,
  mtime: i64,
  mtimeNsec: nsec,
  ctime: i64,
  ctimeNsec: nsec,
  btime: i64,
  btimeNsec: nsec,
});

export const loc: fc.Arbitrary<Loc> = fc.oneof(
  anyGfid.map((gfid) => ({ gfid, parent: null, name: null })),
  fc.record({ gfid: fc.option(anyGfid), parent: anyGfid, name: entryName }),
);

export const xattrs: fc.Arbitrary<Xattrs> = fc
  .uniqueArray(fc.tuple(byteStrings(40, 1), bytes), { maxLength: 4, selector: ([name]) => name })
  .map((entries) => Object.fromEntries(entries));

export const attrChange = fc.record(
  { mode: u32, uid: u32, gid: u32, atime: timespec, mtime: timespec, ctime: timespec },
  { requiredKeys: [] },
) as fc.Arbitrary<AttrChange>;

export const statfs: fc.Arbitrary<Statfs> = fc.record({
  blockSize: u32,
  fragmentSize: u32,
  blocks: u64,
  blocksFree: u64,
  blocksAvailable: u64,
  files: u64,
  filesFree: u64,
  filesAvailable: u64,
  fsid: u64,
  flags: u32,
  nameMax: u32,
});

const lockOwner = fc.uint8Array({ maxLength: 16 }).map((owner) => Buffer.from(owner).toString('hex'));

export const flock = fc.record(
  {
    type: fc.constantFrom('read', 'write', 'unlock'),
    start: u64,
    length: u64,
    owner: lockOwner,
    pid: fc.integer(),
    family: fc.constant('flock'),
  },
  { requiredKeys: ['type', 'start', 'length', 'owner', 'pid'] },
);

export const dirents = fc.array(
  fc.record({
    name: entryName,
    gfid: fc.option(anyGfid),
    type: fc.nat({ max: 15 }),
    offset: u64,
    iatt: fc.option(iatt),
    xattrs: fc.option(xattrs),
  }),
  { maxLength: 4 },
);

export const xdata = fc.record(
  {
    pendingNames: fc.array(byteStrings(40), { maxLength: 3 }),
    fence: u64,
    contended: fc.boolean(),
    layout: fc.string({ maxLength: 20 }),
    keepHandle: fc.boolean(),
    heal: fc.boolean(),
    openFdCount: u64,
    keepTimes: fc.boolean(),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Xdata>;

export const payload: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 9, arbitrary: bytes },
  { weight: 1, arbitrary: fc.nat({ max: 100_000 }).map((length) => Buffer.alloc(length, length)) },
);

export const fd: fc.Arbitrary<Fd> = fc.tuple(anyGfid, u32).map(([gfid, flags]) => new Fd(gfid, flags));

const scalars: Record<Exclude<ScalarKind, 'steps' | 'replies'>, fc.Arbitrary<unknown>> = {
  u8: fc.nat({ max: 255 }),
  u32,
  i32: fc.integer(),
  u64,
  i64,
  bool: fc.boolean(),
  gfid: anyGfid,
  bytes,
  text: fc.string({ maxLength: 40, unit: 'grapheme' }),
  name: byteStrings(255),
  timespec,
  iatt,
  loc,
  fd,
  xattrs,
  attr: attrChange,
  statfs,
  flock,
  dirents,
  xdata,
  payload,
};

/** Values of one field. */
export function valuesOf(field: Field<unknown>): fc.Arbitrary<unknown> {
  if (field.kind === 'list') return fc.array(valuesOf(field.of!), { maxLength: 4 });
  if (field.kind === 'enum') return fc.constantFrom(...field.values!);
  if (field.kind === 'steps') return steps;
  if (field.kind === 'replies') throw new Error('replies belong to steps: see replyTo');
  return scalars[field.kind];
}

function objectsOf(fields: Fields): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries(fields);
  const required = entries.filter(([, field]) => !field.optional).map(([key]) => key);
  const model = Object.fromEntries(entries.map(([key, field]) => [key, valuesOf(field)]));
  return fc.record(model, { requiredKeys: required });
}

const simpleFops = fopNames.filter((name) => name !== 'compound');

const steps: fc.Arbitrary<RawStep[]> = fc.array(
  fc.constantFrom(...simpleFops).chain((name) => objectsOf(fops[name].args).map((args) => ({ fop: name, args }))),
  { maxLength: 4 },
);

/** Arguments of a fop. */
export function argsOf<N extends FopName>(name: N): fc.Arbitrary<Args<N>> {
  return objectsOf(fops[name].args) as fc.Arbitrary<Args<N>>;
}

const failure = fc
  .record({ errno: fc.constantFrom(...Object.values(Errno)), xdata }, { requiredKeys: ['errno'] })
  .map((fields) => ({ ok: false as const, ...fields }));

/** A reply, good or bad, that a fop may give to these arguments. */
export function replyTo<N extends FopName>(name: N, args: Args<N>): fc.Arbitrary<Reply<N>> {
  const fields = { ...fops[name].reply, xdata: { kind: 'xdata', optional: true } } as Fields;
  if (name !== 'compound') {
    const success = objectsOf(fields).map((reply) => ({ ok: true, ...reply }));
    return fc.oneof({ weight: 3, arbitrary: success }, { weight: 1, arbitrary: failure }) as fc.Arbitrary<Reply<N>>;
  }
  const list = (args as unknown as { steps: RawStep[] }).steps;
  const replies = fc
    .tuple(...list.map((step) => replyTo(step.fop as FopName, step.args as Args<FopName>)))
    .map((all) => all.slice(0, all.findIndex((reply) => !reply.ok) + 1 || all.length));
  return replies.map((value) => ({ ok: true, replies: value })) as unknown as fc.Arbitrary<Reply<N>>;
}
