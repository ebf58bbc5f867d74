/** What the heal daemon asks by the fop ipc: JSON both ways; names are ByteStrings (one character a byte). */
import { type ByteString, type Gfid, isGfid, isValidName } from '@mortar/core';
import { z } from 'zod';

const gfid = z.string().refine(isGfid, 'a gfid') as unknown as z.ZodType<Gfid>;
// biome-ignore lint/suspicious/noControlCharactersInRegex: any byte may be in a name
const bytes = /^[\x00-\xff]*$/;
const name = z.string().regex(bytes).refine(isValidName, 'a name of a directory entry') as z.ZodType<ByteString>;
const kind = z.enum(['xattrop', 'dirty', 'entry-changes']);

/** Requests by operation; each answers what is beside it. */
export const requests = {
  /** {names, more}: in bytewise order behind `after`. `entry-changes` without a parent lists the parents. */
  'index.list': z.strictObject({
    kind,
    parent: gfid.optional(),
    after: z.string().max(255).regex(bytes).default(''),
    limit: z.number().int().min(1).max(65_536).default(4096),
  }),
  /** {count} */
  'index.count': z.strictObject({ kind }),
  /** {}: a name has been healed. */
  'index.forgetName': z.strictObject({ parent: gfid, name }),
  /** {}: all names of a directory have been healed. */
  'index.forgetParent': z.strictObject({ parent: gfid }),
  /** {purged}: takes a gfid out if its file is gone or its counters are zero. */
  'index.purge': z.strictObject({ gfid }),
} as const;

export type Operation = keyof typeof requests;
export type Request<O extends Operation> = z.infer<(typeof requests)[O]>;

export function isOperation(text: string): text is Operation {
  return Object.hasOwn(requests, text);
}

/** The request, or undefined if it is none. */
export function parseRequest<O extends Operation>(operation: O, data: Uint8Array | undefined): Request<O> | undefined {
  if (!data || data.length > 8192) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    // What is no JSON is a bad request like any other.
    return undefined;
  }
  const parsed = requests[operation].safeParse(json);
  return parsed.success ? (parsed.data as Request<O>) : undefined;
}
