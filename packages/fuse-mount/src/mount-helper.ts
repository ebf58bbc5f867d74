/** mount.glusterfs: what mount(8) calls for `mount -t glusterfs HOST:/VOLUME MOUNTPOINT -o OPTIONS`. */
import { spawnSync } from 'node:child_process';
import { realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@mortar/host/arguments/getopt.ts';
import { versionText } from '@mortar/host/arguments/information.ts';
import { processArguments } from '@mortar/host/arguments/process-arguments.ts';
import { launchDaemon } from '@mortar/host/process/launch.ts';
import { mountPointState } from './mount-point.ts';
import { glusterfsArguments, type MountRequest } from './mount-words.ts';

/** Exit codes of mount.glusterfs. */
const exit = { failed: 1, refusedMountPoint: 2, alreadyMounted: 32 } as const;

class Refusal extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

const usage = `Usage: mount.glusterfs <server>:<volume/subdir> <mountpoint> -o <options>
       mount.glusterfs -V`;

/** `SOURCE MOUNTPOINT [-o OPTIONS]... [-n] [-s] [-v] [-f]`; undefined when help or version was asked for. */
function readWords(args: readonly string[]): MountRequest | undefined {
  const options: string[] = [];
  const words: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '-V' || arg === '--version') return void process.stdout.write(`${versionText()}\n`);
    if (arg === '-h' || arg === '--help') return void process.stdout.write(`${usage}\n`);
    if (arg.startsWith('-o')) options.push(arg === '-o' ? (rest.shift() ?? '') : arg.slice(2));
    else if (arg === '-t') rest.shift();
    else if (!/^-[nsvfrw]+$/.test(arg)) words.push(arg);
    else if (arg.includes('r')) options.push('ro');
  }
  const [source, mountPoint] = words;
  if (source === undefined || mountPoint === undefined || words.length > 2) throw new UsageError(usage);
  return { source, mountPoint, options };
}

function checkMountPoint(given: string): string {
  const state = mountPointState(given);
  if (state === 'missing' || state === 'not-a-directory')
    throw new Refusal(
      state === 'missing'
        ? 'ERROR: Mount point does not exist\nPlease specify a mount point'
        : `ERROR: Mount point ${given} is not a directory`,
      exit.failed,
    );
  // A dead mount cannot be resolved; the daemon replaces it.
  const path = state === 'dead' ? given.replace(/(.)\/+$/, '$1') : realpathSync(given);
  if (path === '/' || path === '/tmp')
    throw new Refusal(`Cannot mount over ${path === '/' ? 'root' : path}`, exit.refusedMountPoint);
  if (mountPointState(path) === 'mounted')
    throw new Refusal(
      `mount.glusterfs: according to mtab, GlusterFS is already mounted on ${path}`,
      exit.alreadyMounted,
    );
  if (state !== 'dead' && isBrick(path))
    throw new Refusal(`ERROR: ${path} is in use as a brick of a gluster volume`, exit.refusedMountPoint);
  return path;
}

/** Bricks have a gfid on their root. Without getfattr the check is left out, as it always was. */
function isBrick(path: string): boolean {
  return spawnSync('getfattr', ['-n', 'trusted.gfid', '--absolute-names', path], { stdio: 'ignore' }).status === 0;
}

/** Its root answers: a mount whose bricks are away, or refuse it, is none for mount(8). */
function isServed(mountPoint: string): boolean {
  try {
    return statSync(mountPoint).ino === 1;
  } catch {
    return false;
  }
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const request = readWords(args);
    if (!request) return 0;
    const mountPoint = checkMountPoint(request.mountPoint);
    const words = glusterfsArguments({ ...request, mountPoint });
    const { logFile } = processArguments(words, process.cwd());
    const entry = join(dirname(fileURLToPath(import.meta.url)), 'glusterfs.mjs');
    const code = await launchDaemon({ entry, name: 'glusterfs', args: words, logFile });
    if (code === 0 && isServed(mountPoint)) return 0;
    if (code === 0) spawnSync('umount', ['-l', mountPoint], { stdio: 'ignore' });
    process.stderr.write(
      `Mounting glusterfs on ${mountPoint} failed. Check the log file ${logFile} for more details.\n`,
    );
    return exit.failed;
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof Refusal)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error instanceof Refusal ? error.exitCode : exit.failed;
  }
}

process.exitCode = await main(process.argv.slice(2));
