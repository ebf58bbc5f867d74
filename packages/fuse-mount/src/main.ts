/** glusterfs: mounts a volume, or runs the graph of a client daemon. */
import { runProgram } from '@mortar/host/process/entry.ts';
import { glusterfsArguments } from './mount-words.ts';

/** `glusterfs SOURCE MOUNTPOINT -o OPTIONS`, as mount.fuse3 calls it for `fuse.glusterfs` and `glusterfs#SOURCE`. */
function asMountHelper(args: readonly string[]): readonly string[] {
  const [source, mountPoint, flag, options, ...more] = args;
  const isForm =
    source !== undefined && mountPoint !== undefined && !source.startsWith('-') && !mountPoint.startsWith('-');
  if (!isForm || more.length > 0 || (flag !== undefined && (flag !== '-o' || options === undefined))) return args;
  return glusterfsArguments({ source, mountPoint, options: options === undefined ? [] : [options] });
}

await runProgram('glusterfs', () => import('./client-host.ts'), asMountHelper);
