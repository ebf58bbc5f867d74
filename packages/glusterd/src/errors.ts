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
  /** The volume that was asked for and is not there. */
  readonly noVolume: string | undefined;

  constructor(message: string, details: { errno?: number; exit?: number; noVolume?: string } = {}) {
    super(message);
    this.errno = details.errno ?? refusedErrno;
    this.exit = details.exit;
    this.noVolume = details.noVolume;
  }

  toData(): CommandError {
    return { text: this.message, errno: this.errno, ...(this.exit !== undefined && { exit: this.exit }) };
  }
}
