/** Brick directories that GlusterFS 10.3 made, and what its mounts showed of them (`test/fixtures/bricks`). */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { root } from './sandbox.ts';

/** As the fixture has it: what is not told of a kind of object is absent. */
export interface Seen {
  readonly type: 'file' | 'dir' | 'symlink' | 'fifo' | 'chr';
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly gfid: string;
  readonly nlink?: number;
  readonly size?: number;
  readonly sha256?: string;
  readonly target?: string;
  readonly rdev?: readonly [major: number, minor: number];
  readonly mtime_ns?: string;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly hardlink_of?: string;
}

export interface RealVolume {
  /** What stands before the bricks: `replica 3`; empty: nothing. */
  readonly type: string;
  /** Its name is part of xattrs. */
  readonly volume: string;
  readonly options: Readonly<Record<string, string>>;
  readonly bricks: readonly string[];
  /** By path in the volume. */
  readonly tree: Readonly<Record<string, Seen>>;
  /** Paths that nobody can read. */
  readonly splitBrain?: Readonly<Record<string, string>>;
}

const fixtures = join(root, 'test/fixtures/bricks');

export function realVolume(name: string): RealVolume {
  return JSON.parse(readFileSync(join(fixtures, `${name}.json`), 'utf8'));
}

/** Unpacks the bricks into `directory`. tar has no hard links of special files, so these are joined with their handles again. */
export async function restoreBricks(cluster: Cluster, name: string, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const archive = join(fixtures, `${name}.tar.gz`);
  await cluster.sh(`tar --xattrs --xattrs-include='*' --numeric-owner --same-owner -xpzf ${archive} -C ${directory}`);
  await cluster.sh(
    `find . -path '*/.glusterfs' -prune -o \\( -type p -o -type c -o -type b -o -type s \\) -print | while read -r file; do
       gfid=$(getfattr -h --only-values -n trusted.gfid "$file" | od -An -v -tx1 | tr -d ' \\n')
       brick=$(echo "$file" | cut -d/ -f2)
       uuid=$(echo "$gfid" | sed 's/^\\(.\\{8\\}\\)\\(.\\{4\\}\\)\\(.\\{4\\}\\)\\(.\\{4\\}\\)/\\1-\\2-\\3-\\4-/')
       ln -f "$file" "$brick/.glusterfs/$(echo "$gfid" | cut -c1-2)/$(echo "$gfid" | cut -c3-4)/$uuid"
     done`,
    directory,
  );
}

/** What a mount shows, as the fixture has it: all but the time of the root. `except`: is not looked at. */
export async function seen(
  cluster: Cluster,
  mountPoint: string,
  except: ReadonlySet<string> = new Set(),
): Promise<Record<string, Seen>> {
  const found: Record<string, Seen> = {};
  const firsts = new Map<bigint, string>();
  const visit = async (path: string): Promise<void> => {
    if (except.has(path)) return;
    const at = join(mountPoint, path);
    const one = await describe(cluster, at);
    const { ino } = lstatSync(at, { bigint: true });
    const first = firsts.get(ino);
    if (first === undefined) firsts.set(ino, path);
    found[path] = first === undefined ? one : { ...one, hardlink_of: first };
    if (one.type !== 'dir') return;
    for (const name of readdirSync(at).sort()) await visit(path === '/' ? `/${name}` : `${path}/${name}`);
  };
  await visit('/');
  const { mtime_ns: _rootsOwn, ...top } = found['/']!;
  return { ...found, '/': top };
}

async function describe(cluster: Cluster, at: string): Promise<Seen> {
  const stat = lstatSync(at, { bigint: true });
  const read = async (...words: string[]) => (await cluster.run('getfattr', ['-h', ...words, at])).stdout;
  const gfid = (await read('--only-values', '-n', 'glusterfs.gfid.string')).replace(/\0$/, '');
  const common = { mode: `0o${(stat.mode & 0o7777n).toString(8)}`, uid: Number(stat.uid), gid: Number(stat.gid), gfid };
  const times = { mtime_ns: String(stat.mtimeNs) };
  const lines = (await read('-d', '-e', 'hex', '-m', '^user\\.')).matchAll(/^(user\.[^=]+)=0x(.*)$/gm);
  const xattrs = Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
  const own = { ...common, ...times, ...(Object.keys(xattrs).length > 0 && { xattrs }) } as Omit<Seen, 'type'>;
  if (stat.isDirectory()) return { type: 'dir', ...own };
  const counted = { ...own, nlink: Number(stat.nlink), size: Number(stat.size) };
  if (stat.isSymbolicLink()) return { type: 'symlink', ...counted, target: readlinkSync(at) };
  if (stat.isFIFO()) return { type: 'fifo', ...counted };
  if (stat.isCharacterDevice()) return { type: 'chr', ...counted, rdev: [major(stat.rdev), minor(stat.rdev)] };
  return { type: 'file', ...counted, sha256: createHash('sha256').update(readFileSync(at)).digest('hex') };
}

const major = (device: bigint): number => Number((device >> 8n) & 0xfffn);
const minor = (device: bigint): number => Number((device & 0xffn) | ((device >> 12n) & 0xfff00n));
