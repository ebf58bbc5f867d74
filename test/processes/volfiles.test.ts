/** The examples of volfiles/ run: each is mounted as its first lines say, and serves files. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canMount, ensureBuilt, isAlive, root, Sandbox, until } from '../support/sandbox.ts';

beforeAll(ensureBuilt, 120_000);

const folder = join(root, 'volfiles');
const examples = readdirSync(folder).filter((name) => name.endsWith('.vol'));
let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box.end());

/** The example with its directories moved into the sandbox. */
function prepare(name: string): string {
  const text = readFileSync(join(folder, name), 'utf8');
  for (const [, brick] of text.matchAll(/option directory \/tmp\/mortar\/(\S+)/g)) box.folder(brick!);
  return box.file(name, text.replaceAll('/tmp/mortar/', `${box.path}/`));
}

describe.skipIf(!canMount).each(examples)('%s', (name) => {
  it('says how to run it', () => {
    expect(readFileSync(join(folder, name), 'utf8')).toContain(`#   glusterfs -f volfiles/${name} /mnt/mortar\n`);
  });

  it('is mounted, serves files and keeps them', async () => {
    const volfile = prepare(name);
    const mnt = box.mountPoint();
    for (const round of [1, 2]) {
      const pid = box.daemon('glusterfs', 'v.pid', '-f', volfile, mnt);
      if (round === 1) {
        spawnSync('bash', [
          '-c',
          `mkdir ${mnt}/d && head -c 300000 /dev/urandom >${mnt}/d/f && cp ${mnt}/d/f ${box.path}/copy`,
        ]);
        writeFileSync(join(mnt, 'd/g'), 'text');
      }
      expect(readdirSync(join(mnt, 'd')).sort()).toEqual(['f', 'g']);
      expect(readFileSync(join(mnt, 'd/g'), 'utf8')).toBe('text');
      expect(readFileSync(join(mnt, 'd/f')).equals(readFileSync(join(box.path, 'copy')))).toBe(true);
      spawnSync('umount', [mnt]);
      expect(await until(() => !isAlive(pid))).toBe(true);
    }
    for (const brick of ['brick', 'one', 'two'].map((one) => join(box.path, one)).filter((one) => existsSync(one)))
      expect(readFileSync(join(brick, 'd/f')).equals(readFileSync(join(box.path, 'copy')))).toBe(true);
  });
});
