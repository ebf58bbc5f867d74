/** Errors as node:fs has them. */
import { getSystemErrorMap } from 'node:util';
import { type ByteString, Errno, errnoName } from '@mortar/core';

/** Of those that libuv has no words for. */
const words: Partial<Record<number, string>> = {
  [Errno.ESTALE]: 'stale file handle',
  [Errno.EDQUOT]: 'disk quota exceeded',
  [Errno.ENOLCK]: 'no locks available',
  [Errno.EDEADLK]: 'resource deadlock avoided',
  [Errno.EHOSTDOWN]: 'host is down',
  [Errno.EUCLEAN]: 'structure needs cleaning',
  [Errno.ENODATA]: 'no data available',
};

export interface ErrorPlace {
  path?: string | undefined;
  dest?: string | undefined;
}

/** `ENOENT: no such file or directory, open '/a'`. */
export function fsError(errno: number, syscall: string, { path, dest }: ErrorPlace = {}): NodeJS.ErrnoException {
  const code = errnoName(errno);
  const known = getSystemErrorMap().get(-errno);
  const text = words[errno] ?? known?.[1] ?? 'unknown error';
  const where = path === undefined ? '' : ` '${path}'${dest === undefined ? '' : ` -> '${dest}'`}`;
  const error: NodeJS.ErrnoException & { dest?: string } = new Error(`${code}: ${text}, ${syscall}${where}`);
  error.errno = -errno;
  error.code = code;
  error.syscall = syscall;
  if (path !== undefined) error.path = path;
  if (dest !== undefined) error.dest = dest;
  return error;
}

/** What node says when a signal ends a call. */
export function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  error.name = 'AbortError';
  (error as NodeJS.ErrnoException).code = 'ABORT_ERR';
  return error;
}

/** An argument that no volume could make sense of. */
export function argumentError(name: string, expected: string, found: unknown): TypeError {
  const error = new TypeError(`The argument '${name}' must be ${expected}. Received ${describe(found)}`);
  (error as NodeJS.ErrnoException).code = 'ERR_INVALID_ARG_VALUE';
  return error;
}

function describe(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : String(value);
}

/** A name for messages. */
export function shown(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

type Outcome = { ok: true } | { ok: false; errno: number };

/** The reply, if it is a success; else throws what node would. */
export function must<R extends Outcome>(reply: R, syscall: string, place?: ErrorPlace): Extract<R, { ok: true }> {
  if (!reply.ok) throw fsError(reply.errno, syscall, place);
  return reply as Extract<R, { ok: true }>;
}
