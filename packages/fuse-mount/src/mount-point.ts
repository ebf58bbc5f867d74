/** What is at a mount point before something is mounted there. Light: the mount helper loads it. */
import { readFileSync, statSync } from 'node:fs';

export type MountPointState = 'directory' | 'missing' | 'not-a-directory' | 'dead' | 'mounted';

/** `dead`: a mount whose process is gone. `mounted`: a GlusterFS is there and answers. */
export function mountPointState(path: string): MountPointState {
  try {
    const stat = statSync(path);
    if (!stat.isDirectory()) return 'not-a-directory';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTCONN' || code === 'ECONNABORTED') return 'dead';
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing';
    throw error;
  }
  return mountedTypes(path).some((type) => type === 'fuse.glusterfs') ? 'mounted' : 'directory';
}

/** File system types of the mounts on a path, lowest first. */
export function mountedTypes(path: string, table = readFileSync('/proc/self/mounts', 'utf8')): string[] {
  return table.split('\n').flatMap((line) => {
    const [, target, type] = line.split(' ');
    return target !== undefined && type !== undefined && unescapeMount(target) === path ? [type] : [];
  });
}

/** The kernel writes blank, tab, newline and backslash in octal. */
function unescapeMount(text: string): string {
  const bytes = text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return bytes;
}
