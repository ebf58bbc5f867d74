/** Why something that was asked is not done: an errno for programs, a text for people that says what to do. */
import { Errno, errnoName, errnoOf } from '@mortar/core';

export class Refusal extends Error {
  readonly code = 'EREFUSED';
  readonly errno: Errno;

  constructor(errno: Errno, text: string, options?: ErrorOptions) {
    super(text, options);
    this.errno = errno;
  }
}

/** Of a system call that failed while `what` was done. */
export function refusalOfSystem(what: string, error: unknown): Refusal {
  const { code, message } = error as NodeJS.ErrnoException;
  return new Refusal(errnoOf(code ?? '') ?? Errno.EIO, `${what}: ${message}`, { cause: error });
}

export function refusalOfVolume(what: string, errno: Errno): Refusal {
  return new Refusal(errno, `${what}: ${errnoName(errno)}`);
}
