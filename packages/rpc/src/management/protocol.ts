/** What management client and server share. Must stay light: the command line imports it. */
import type { ByteReader } from '../byte-reader.ts';
import { FrameError } from '../frame.ts';
import { packMessage, unpackMessage } from '../message.ts';

/** `op` of management frames. */
export const ManagementOp = { call: 1, notice: 2, cancel: 3 } as const;

/** Longest name of a method or notice. */
export const methodMaxBytes = 128;

/** An expected failure of a method: `code` is for programs, `message` is one line for people. */
export class ManagementError extends Error {
  readonly code: string;
  /** Anything more that the caller may want, as plain data. */
  readonly details: unknown;

  constructor(code: string, message: string, details?: unknown) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Codes that the machinery itself answers with. */
export const ManagementCode = {
  noMethod: 'NO_METHOD',
  badParams: 'BAD_PARAMS',
  internal: 'INTERNAL',
  timeout: 'TIMEOUT',
  cancelled: 'CANCELLED',
  disconnected: 'DISCONNECTED',
  busy: 'BUSY',
  tooLarge: 'TOO_LARGE',
} as const;

export interface CallHead {
  method: string;
  /** How long the caller waits; 0: no limit. */
  remainingMs: number;
}

export interface ErrorHead {
  code: string;
  message: string;
  details?: unknown;
}

/** Undefined travels as absent: an empty payload. */
export function encodeValue(value: unknown): Uint8Array[] {
  return value === undefined ? [] : [packMessage(value)];
}

export function decodeValue(payload: Uint8Array): unknown {
  return payload.length === 0 ? undefined : unpackMessage(payload);
}

export function readCallHead(meta: ByteReader): CallHead {
  const remainingMs = meta.u32();
  const method = meta.utf8();
  meta.finish();
  if (method.length > methodMaxBytes) throw new FrameError('decode', 'a method name that is too long');
  return { method, remainingMs };
}

export function readErrorHead(bytes: Uint8Array): ErrorHead {
  const value = unpackMessage(bytes) as Partial<ErrorHead> | null;
  if (typeof value?.code !== 'string' || typeof value.message !== 'string')
    throw new FrameError('decode', 'an error without code and message');
  return { code: value.code, message: value.message, details: value.details };
}
