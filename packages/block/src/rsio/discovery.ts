/**
 * Questions and answers of the discovery over UDP (docs/block.md): "which servers are there?". Pure.
 *
 * A question has always 1024 bytes: 8 of magic, 16 of a number drawn for it, JSON, zeroes. An answer has another magic, the same
 * number and JSON, and is never longer than the question: whoever forges the sender of one gains nothing.
 */
import { z } from 'zod';
import { name } from './messages.ts';

export const questionBytes = 1024;
const questionMagic = Buffer.from('MRTRDSQ1');
const answerMagic = Buffer.from('MRTRDSA1');
export const nonceBytes = 16;
const headBytes = 8 + nonceBytes;
/** Longest first: as many addresses are told as fit. */
const addressesMax = 8;

const question = z.object({
  /** Empty: any. */
  namespace: name.or(z.literal('')),
});
export type Question = z.infer<typeof question>;

const address = z.object({ address: z.string().min(2).max(64), port: z.int().min(1).max(65535) });
const answer = z.object({
  namespace: name,
  namespaceId: z.int().min(0).max(65535),
  server: name,
  serverId: z.int().min(0).max(255),
  /** Where the server's interfaces are; that which answers first. */
  addresses: z.array(address).min(1).max(addressesMax),
});
export type Answer = z.infer<typeof answer>;

export function encodeQuestion(nonce: Uint8Array, asked: Question): Buffer {
  const bytes = Buffer.alloc(questionBytes);
  questionMagic.copy(bytes, 0);
  bytes.set(nonce, 8);
  bytes.write(JSON.stringify(asked), headBytes, 'utf8');
  return bytes;
}

export function encodeAnswer(nonce: Uint8Array, told: Answer): Buffer {
  for (let count = Math.min(told.addresses.length, addressesMax); ; count--) {
    const json = Buffer.from(JSON.stringify({ ...told, addresses: told.addresses.slice(0, count) }));
    if (headBytes + json.length <= questionBytes || count === 1) return Buffer.concat([answerMagic, nonce, json]);
  }
}

/** Null: it is no question, or a short one. */
export function decodeQuestion(bytes: Buffer): { nonce: Buffer; asked: Question } | null {
  if (bytes.length !== questionBytes || !bytes.subarray(0, 8).equals(questionMagic)) return null;
  const end = bytes.indexOf(0, headBytes);
  const asked = parse(question, bytes.subarray(headBytes, end < 0 ? bytes.length : end));
  return asked && { nonce: Buffer.from(bytes.subarray(8, headBytes)), asked };
}

export function decodeAnswer(bytes: Buffer): { nonce: Buffer; told: Answer } | null {
  if (bytes.length > questionBytes || bytes.length < headBytes || !bytes.subarray(0, 8).equals(answerMagic))
    return null;
  const told = parse(answer, bytes.subarray(headBytes));
  return told && { nonce: Buffer.from(bytes.subarray(8, headBytes)), told };
}

function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | null {
  try {
    const parsed = schema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    // No JSON: the same as something that the schema does not know.
    return null;
  }
}
