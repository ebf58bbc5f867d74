/** Files that a process writes about itself when it is asked to. That it cannot is no reason to end. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** What could not be written, why, and what to do. */
export class ReportError extends Error {
  readonly code = 'EREPORT';

  constructor(message: string, cause: unknown) {
    super(message, { cause });
  }
}

/** Makes the file, complete at once, with mode 0600. `what` and `otherwise` are for the error: `a state dump`, `do something else`. Throws ReportError. */
export function writeReport(path: string, text: string, what: string, otherwise: string): void {
  const directory = dirname(path);
  const temporary = `${directory}/.dump-${process.pid}`;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    // A killed one of this pid may have left its own; in a directory where others may write, a link of theirs is not followed.
    rmSync(temporary, { force: true });
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx' });
    renameSync(temporary, path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    removeIfThere(temporary);
    const remedy =
      code === 'ENOSPC' || code === 'EDQUOT'
        ? 'free some space there'
        : `make ${directory} a directory that can be written`;
    throw new ReportError(
      `could not write ${what}: ${message}. To do: ${remedy}, or ${otherwise}, and ask again`,
      error,
    );
  }
}

/** What is half written takes the last of the space. */
function removeIfThere(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Its directory is no directory: nothing is there.
  }
}
