/** Everything that a user can see of a tree, a line an object, so that trees are compared by comparing texts. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Cluster, digest } from './cluster.ts';

export interface ManifestOptions {
  /** Include trusted.gfid and user.* attributes (read by getfattr in one go). */
  attributes?: boolean;
  /** Leave out names that match. */
  except?: RegExp;
  /** Sizes and data of files too; not for an arbiter. */
  data?: boolean;
}

const ownFolder = /^\.glusterfs($|\/|-anonymous-inode)/;

export async function manifest(cluster: Cluster, directory: string, options: ManifestOptions = {}): Promise<string[]> {
  const names = list(directory).filter((name) => !ownFolder.test(name) && !options.except?.test(name));
  const attributes = options.attributes ? await attributesOf(cluster, directory, names) : new Map<string, string>();
  const groups = new Map<number, string>();
  return names.map((name) => {
    const stat = lstatSync(join(directory, name));
    // Names of one object share its first name: inode numbers differ between bricks.
    if (!groups.has(stat.ino)) groups.set(stat.ino, name);
    const links = stat.isDirectory() || groups.get(stat.ino) === name ? '' : ` = ${groups.get(stat.ino)}`;
    const owner = `${(stat.mode & 0o177777).toString(8)} ${stat.uid}:${stat.gid}`;
    const content = stat.isSymbolicLink()
      ? ` -> ${readlinkSync(join(directory, name))}`
      : stat.isFile() && options.data !== false
        ? ` ${stat.size} ${digest(readFileSync(join(directory, name)))}`
        : '';
    return `${name}: ${owner}${content}${links}${attributes.get(name) ?? ''}`;
  });
}

function list(directory: string): string[] {
  const names: string[] = [];
  const visit = (relative: string) => {
    for (const entry of readdirSync(join(directory, relative), { withFileTypes: true })) {
      const name = join(relative, entry.name);
      names.push(name);
      if (entry.isDirectory() && !ownFolder.test(name)) visit(name);
    }
  };
  visit('');
  return names.sort();
}

async function attributesOf(
  cluster: Cluster,
  directory: string,
  names: readonly string[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let at = 0; at < names.length; at += 500) {
    const { stdout } = await cluster.run(
      'getfattr',
      ['-h', '-d', '-e', 'hex', '-m', '^(trusted\\.gfid$|user\\.)', '--', ...names.slice(at, at + 500)],
      directory,
    );
    for (const block of stdout.split('\n\n')) {
      const [head, ...lines] = block.split('\n');
      if (head?.startsWith('# file: ')) found.set(head.slice(8), ` ${lines.sort().join(' ')}`);
    }
  }
  return found;
}

/** One sum of a tree's data and names. */
export function sum(lines: readonly string[]): string {
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
