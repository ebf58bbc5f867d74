/** Arguments and replies in one line for a person, generated from the fop table. Pure. */
import {
  type AttrChange,
  errnoName,
  Fd,
  type Field,
  type Fields,
  type Flock,
  type FopName,
  fops,
  type Iatt,
  type Loc,
  printable,
  type RawReply,
  type RawStep,
  type Timespec,
} from '@mortar/core';

const longest = 256;

/** `gfid=… name=x` of the arguments of a fop. */
export function describeArgs(fop: FopName, args: object): string {
  return describeFields(fops[fop].args, args);
}

/** `ok iatt=…` or `ENOENT`. */
export function describeReply(fop: FopName, reply: { ok: boolean; errno?: number }): string {
  if (!reply.ok) return errnoName(reply.errno ?? 0);
  return `ok ${describeFields(fops[fop].reply, reply)}`.trimEnd();
}

function describeFields(fields: Fields, values: object): string {
  const parts: string[] = [];
  for (const [name, field] of Object.entries(fields)) {
    const value = (values as Record<string, unknown>)[name];
    if (value !== undefined) parts.push(`${name}=${describeValue(field, value)}`);
  }
  return parts.join(' ');
}

function describeValue(field: Field<unknown>, value: unknown): string {
  switch (field.kind) {
    case 'payload':
    case 'bytes':
      return `<${(value as Uint8Array).length} bytes>`;
    case 'loc':
      return describeLoc(value as Loc);
    case 'fd':
      return value instanceof Fd ? `${value.gfid}(flags 0${value.flags.toString(8)})` : '?';
    case 'iatt':
      return describeIatt(value as Iatt);
    case 'xattrs':
      return `{${Object.entries(value as Record<string, Uint8Array>)
        .map(([name, bytes]) => `${printable(name)}=${describeBytes(bytes)}`)
        .join(', ')}}`;
    case 'steps':
      return `[${(value as RawStep[]).map((step) => `${step.fop}(${describeArgs(step.fop as FopName, step.args)})`).join('; ')}]`;
    case 'replies':
      return `[${(value as RawReply[]).map((reply) => (reply.ok ? 'ok' : errnoName((reply as { errno?: number }).errno ?? 0))).join(', ')}]`;
    case 'dirents':
      return `<${(value as unknown[]).length} entries>`;
    case 'timespec':
      return describeTime(value as Timespec);
    case 'attr':
      return describeAttr(value as AttrChange);
    case 'flock':
      return describeFlock(value as Flock);
    case 'name':
    case 'text':
      return `'${clip(printable(String(value)))}'`;
    case 'list':
      return `[${(value as unknown[]).map((one) => describeValue(field.of!, one)).join(', ')}]`;
    case 'xdata':
    case 'statfs':
      return clip(JSON.stringify(value));
    default:
      return String(value);
  }
}

function describeLoc({ gfid, parent, name }: Loc): string {
  const named = parent !== null && name !== null ? `${parent}/${printable(name)}` : '';
  return named === '' ? String(gfid) : gfid === null ? named : `${named}(${gfid})`;
}

function describeIatt(iatt: Iatt): string {
  const { gfid, type, mode, nlink, uid, gid, size, mtime, ctime } = iatt;
  return `{${gfid} type=${type} mode=0${mode.toString(8)} nlink=${nlink} owner=${uid}:${gid} size=${size} mtime=${mtime} ctime=${ctime}}`;
}

function describeTime({ sec, nsec }: Timespec): string {
  return `${sec}.${String(nsec).padStart(9, '0')}`;
}

function describeAttr(attr: AttrChange): string {
  const parts = Object.entries(attr).map(([name, value]) => {
    if (name === 'mode') return `mode=0${(value as number).toString(8)}`;
    return `${name}=${typeof value === 'object' ? describeTime(value as Timespec) : String(value)}`;
  });
  return `{${parts.join(' ')}}`;
}

function describeFlock({ type, start, length, owner }: Flock): string {
  return `{${type} ${start}+${length} owner=${owner}}`;
}

function describeBytes(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.subarray(0, 32)).toString('hex');
  return bytes.length > 32 ? `0x${shown}…(${bytes.length} bytes)` : `0x${shown}`;
}

function clip(text: string): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
