/** For tests on real mounts. */
import { accessSync, constants } from 'node:fs';

/** Whether this process may mount: root, with /dev/fuse. */
export function canMount(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return process.getuid?.() === 0;
  } catch {
    return false;
  }
}
