/** Every shape of volume through the commands a user types: create, start, mount, use, unmount, stop, delete. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Brick, digest, startCluster } from '../support/cluster.ts';
import { manifest } from '../support/manifest.ts';
import { canMount } from '../support/sandbox.ts';

const shapes: [name: string, shape: string[], bricks: number, type: string][] = [
  ['one brick', [], 1, 'Distribute'],
  ['distribute 3', [], 3, 'Distribute'],
  ['replica 2', ['replica', '2'], 2, 'Replicate'],
  ['replica 3', ['replica', '3'], 3, 'Replicate'],
  ['2 x 3', ['replica', '3'], 6, 'Distributed-Replicate'],
  ['arbiter', ['replica', '3', 'arbiter', '1'], 3, 'Replicate'],
];

describe.skipIf(!canMount)('a volume of', () => {
  const cluster = startCluster();

  it.each(shapes)('%s does what a file system does', async (_name, shape, count, type) => {
    const volume = `v${count}${shape.join('')}`;
    const bricks = await cluster.create(volume, shape, count);
    const info = await cluster.must('volume', 'info', volume);
    expect(info).toContain(`\nType: ${type}\n`);
    expect(info).toContain('\nStatus: Created\n');
    for (const { name } of bricks) expect(info).toContain(name);
    await cluster.must('volume', 'start', volume);
    const status = await cluster.must('volume', 'status', volume);
    const daemons = shape.length === 0 ? 0 : 1;
    expect(status.match(/ Y +\d+ *$/gm) ?? status).toHaveLength(count + daemons);

    const mount = await cluster.mount(volume);
    const written = await use(mount.path);
    const second = await cluster.mount(volume);
    expect(await manifest(cluster, second.path)).toEqual(await manifest(cluster, mount.path));
    for (const [name, sum] of written) expect(digest(readFileSync(join(second.path, name))), name).toBe(sum);
    expect(names(bricks, shape)).toEqual([...written.keys()].sort());
    await fs.rm(join(mount.path, 'd'), { recursive: true });
    expect(await fs.readdir(mount.path)).toEqual([]);
    for (const { path } of bricks) expect(visible(path)).toEqual([]);
    await cluster.destroy(volume, mount, second);
    expect(await cluster.must('volume', 'list')).toBe('');
  });

  /** Leaves files below d/ only; answers what they hold. */
  async function use(mnt: string): Promise<Map<string, string>> {
    const at = (name: string) => join(mnt, name);
    const written = new Map<string, string>();
    await fs.mkdir(at('d/e/f'), { recursive: true });
    for (let i = 0; i < 30; i++) {
      const data = Buffer.alloc(i * 9001, `${i},`);
      await fs.writeFile(at(`d/e/${i}`), data);
      written.set(`d/e/${i}`, digest(data));
    }
    expect((await fs.readdir(at('d/e'))).length).toBe(31);
    for (let i = 0; i < 10; i++) {
      await fs.rename(at(`d/e/${i}`), at(`d/new ${i}`));
      written.set(`d/new ${i}`, written.get(`d/e/${i}`)!);
      written.delete(`d/e/${i}`);
    }
    // Over an existing one.
    await fs.rename(at('d/e/10'), at('d/e/11'));
    written.set('d/e/11', written.get('d/e/10')!);
    written.delete('d/e/10');
    await fs.rename(at('d/e/f'), at('d/g'));
    await fs.rmdir(at('d/g'));
    await expect(fs.rmdir(at('d/e'))).rejects.toThrow('ENOTEMPTY');
    await expect(fs.stat(at('d/e/10'))).rejects.toThrow('ENOENT');
    await fs.unlink(at('d/e/12'));
    written.delete('d/e/12');
    await fs.appendFile(at('d/e/13'), 'more');
    written.set('d/e/13', digest(await fs.readFile(at('d/e/13'))));
    await unlinkedButOpen(at('d/open'));
    await fs.rm(await tree(at('d/tree')), { recursive: true });
    return written;
  }

  async function unlinkedButOpen(name: string): Promise<void> {
    const file = await fs.open(name, 'w+');
    await file.write('first');
    await fs.unlink(name);
    await file.write(' second');
    expect((await file.read(Buffer.alloc(20), 0, 20, 0)).bytesRead).toBe(12);
    expect((await file.stat()).nlink).toBe(0);
    await file.close();
  }

  async function tree(top: string): Promise<string> {
    for (const folder of ['a/b/c', 'a/d', 'e']) {
      await fs.mkdir(join(top, folder), { recursive: true });
      await Promise.all([0, 1, 2, 3].map((i) => fs.writeFile(join(top, folder, `${i}`), folder)));
    }
    return top;
  }

  /** Files that users can see, each once: links of distribute to other bricks are not theirs. */
  function names(bricks: readonly Brick[], shape: readonly string[]): string[] {
    const copies = shape.length === 0 ? 1 : Number(shape[1]);
    const counts = new Map<string, number>();
    for (const { path } of bricks) for (const name of visible(path)) counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const [name, count] of counts) expect([name, count]).toEqual([name, copies]);
    return [...counts.keys()].sort();
  }

  function visible(brick: string): string[] {
    return readdirSync(brick, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('/.glusterfs'))
      .filter((entry) => !isLinkto(join(entry.parentPath, entry.name)))
      .map((entry) => join(entry.parentPath, entry.name).slice(brick.length + 1));
  }
});

/** Links of distribute have mode ---------T and no data. */
function isLinkto(path: string): boolean {
  return (lstatSync(path).mode & 0o7777) === 0o1000;
}
