/** Where translators leave files for the administrator: the process's run directory (`/var/run/gluster`). */
export const dumpFilesPortName = 'dump-files';

export interface DumpFiles {
  /** `name` is the name of a file, nothing more; an older one of that name is replaced. */
  write(name: string, text: string): void;
}
