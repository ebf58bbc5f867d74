/** Why a process could not start, in words for the person who started it. */
export class StartError extends Error {
  readonly code = 'ESTART';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
