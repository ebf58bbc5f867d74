import type { CommandError } from './protocol/replies.ts';

/** GlusterFS's number for "an operation was refused". */
export const refusedErrno = 30800;
/** ... for "there is no such volume" in `volume info`. */
export const noVolumeErrno = 30806;

/** An operation that is refused or failed; `message` is what the user reads behind the command's prefix. */
export class OperationError extends Error {
  readonly code = 'EOPERATION';
  readonly errno: number;
  readonly exit: number | undefined;

  constructor(message: string, details: { errno?: number; exit?: number } = {}) {
    super(message);
    this.errno = details.errno ?? refusedErrno;
    this.exit = details.exit;
  }

  toData(): CommandError {
    return { text: this.message, errno: this.errno, ...(this.exit !== undefined && { exit: this.exit }) };
  }
}
