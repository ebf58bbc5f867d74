/** What an open(2) needs of the file's permissions. */
export const permission = { read: 4, write: 2, execute: 1 } as const;

const accessMode = 3;
const writeOnly = 1;
const readWrite = 2;
const truncating = 0o1000;
/** The kernel opens a file so in order to execute it (fmode_t FMODE_EXEC). */
const forExecution = 0o40;

export function wantedToOpen(flags: number): number {
  const { read, write, execute } = permission;
  const mode = flags & accessMode;
  const reads = (flags & forExecution) !== 0 ? execute : read;
  const wanted = mode === writeOnly ? write : mode === readWrite ? read | write : reads;
  return (flags & truncating) !== 0 ? wanted | write : wanted;
}
