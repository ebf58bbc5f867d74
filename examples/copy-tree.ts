/**
 * Copies a tree of this machine into a volume, without a mount, and lists what is there then:
 *
 *     copy-tree SERVER VOLUME FROM TO
 */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type Volume } from '@mortar/gfapi';

async function copy(volume: Volume, from: string, to: string): Promise<void> {
  await volume.mkdir(to, { recursive: true });
  const entries = await readdir(from, { withFileTypes: true });
  const one = async (name: string, isDirectory: boolean) => {
    const [source, target] = [join(from, name), join(to, name)];
    if (isDirectory) return copy(volume, source, target);
    const { mode } = await stat(source);
    await volume.writeFile(target, createReadStream(source), { mode });
  };
  await Promise.all(entries.map((entry) => one(entry.name, entry.isDirectory())));
}

async function list(volume: Volume, path: string): Promise<void> {
  for await (const entry of await volume.opendir(path)) {
    const below = join(path, `${entry.name}`);
    const { size, mtime } = await volume.lstat(below);
    console.log(`${size} ${mtime.toISOString()} ${below}`);
    if (entry.isDirectory()) await list(volume, below);
  }
}

const [server, name, from, to] = process.argv.slice(2);
if (!server || !name || !from || !to) throw new Error('copy-tree SERVER VOLUME FROM TO');
const volume = await connect({ volume: name, servers: [{ host: server }] });
try {
  await copy(volume, from, to);
  await list(volume, to);
} finally {
  await volume.close();
}
