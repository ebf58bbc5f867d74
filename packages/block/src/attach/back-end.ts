/** By which means of this machine an attached volume becomes a device. The choice is pure; what there is is found out before. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { AttachError } from './attach-error.ts';
import { backingFile } from './loop.ts';
import type { RunProgram } from './run-program.ts';

export const attachWords = ['auto', 'nbd', 'loop', 'file', 'none'] as const;
export type AttachWord = (typeof attachWords)[number];
export type BackEnd = Exclude<AttachWord, 'auto'>;

/** What this machine has. */
export interface Means {
  readonly isRoot: boolean;
  readonly fuse: boolean;
  readonly loop: boolean;
  readonly nbdModule: boolean;
  readonly nbdClient: boolean;
  /** The kernel sends requests of a FUSE file again to the next run of the daemon: FUSE_NOTIFY_RESEND, Linux 6.9. */
  readonly resends: boolean;
}

export interface Choice {
  readonly backEnd: BackEnd;
  /** Why not one before it in the order, for the log. */
  readonly why: string;
}

const notRoot = 'rsiod does not run as root';
const noFuse = 'there is no /dev/fuse (modprobe fuse)';
const noLoop = 'there is no /dev/loop-control (modprobe loop)';
const noNbd = 'the kernel has no nbd module (modprobe nbd)';
const noNbdClient = 'nbd-client is not installed';

/** What is missing for a back end; null: nothing. */
function lackOf(backEnd: BackEnd, means: Means): string | null {
  if (backEnd === 'none') return null;
  if (!means.isRoot) return notRoot;
  if (backEnd === 'nbd') return means.nbdModule ? (means.nbdClient ? null : noNbdClient) : noNbd;
  if (!means.fuse) return noFuse;
  return backEnd === 'loop' && !means.loop ? noLoop : null;
}

/** A daemon that is killed or replaced must not take its users along: only loop, where the kernel resends, sees to that. */
function orderOf({ resends }: Means): readonly BackEnd[] {
  return resends ? ['loop', 'nbd', 'file', 'none'] : ['nbd', 'loop', 'file', 'none'];
}

/** Throws AttachError if what is demanded cannot be had. */
export function chooseBackEnd(wanted: AttachWord, means: Means): Choice {
  if (wanted !== 'auto') {
    const lack = lackOf(wanted, means);
    if (lack === null) return { backEnd: wanted, why: '' };
    throw new AttachError(`attach = ${wanted}: ${lack}; attach = auto takes what there is`);
  }
  const lacks: string[] = [];
  for (const backEnd of orderOf(means)) {
    const lack = lackOf(backEnd, means);
    if (lack === null) return { backEnd, why: [...new Set(lacks)].join('; ') };
    lacks.push(lack);
  }
  return { backEnd: 'none', why: '' };
}

/** Tries to load modules that are not there, as far as `wanted` may need them. */
export async function findMeans(run: RunProgram, wanted: AttachWord): Promise<Means> {
  const isRoot = process.getuid?.() === 0;
  const has = async (path: string, module: string, words: readonly AttachWord[]) => {
    if (existsSync(path)) return true;
    if (!isRoot || !words.includes(wanted)) return false;
    await run('modprobe', [module]);
    return existsSync(path);
  };
  return {
    isRoot,
    nbdModule: await has('/sys/module/nbd', 'nbd', ['auto', 'nbd']),
    nbdClient: ['nbd', 'auto'].includes(wanted) && (await run('nbd-client', ['--version'])).code === 0,
    fuse: await has('/dev/fuse', 'fuse', ['auto', 'loop', 'file']),
    loop: await has('/dev/loop-control', 'loop', ['auto', 'loop']),
    resends: isAtLeast(release(), 6, 9),
  };
}

function isAtLeast(version: string, major: number, minor: number): boolean {
  const [first = 0, second = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return first > major || (first === major && second >= minor);
}

/** Whether a link leads to a device that is nobody's any more. */
export function isUnused(target: string, filesDirectory: string): boolean {
  if (target.startsWith(`${filesDirectory}/`)) return true;
  const [, kind, number] = /^\/dev\/(loop|nbd)(\d+)$/.exec(target) ?? [];
  if (kind === 'loop') {
    const file = backingFile(target);
    return file === null || file.startsWith(`${filesDirectory}/`);
  }
  return kind === 'nbd' && !existsSync(`/sys/block/nbd${number}/pid`);
}
