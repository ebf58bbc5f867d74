import { Errno, type Fop, fail, Xlator, type XlatorType } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

let volume: Volume | undefined;
afterEach(() => volume?.close());

describe('a copy', () => {
  it('of a file to itself leaves it as it is, whatever it is called', async () => {
    volume = await inMemory();
    const v = volume;
    await v.writeFile('/f', 'text');
    await v.link('/f', '/other');
    await v.symlink('f', '/link');
    for (const [from, to] of [
      ['/f', '/f'],
      ['/f', '/other'],
      ['/f', '/link'],
      ['/link', '/f'],
    ] as const) {
      await v.copyFile(from, to);
      expect([from, to, await v.readFile('/f', 'utf8')]).toEqual([from, to, 'text']);
    }
    expect(v.graph.openFiles).toBe(0);
  });

  it('takes the place of all that was there', async () => {
    volume = await inMemory();
    const v = volume;
    await v.writeFile('/f', 'short');
    await v.writeFile('/g', 'which is longer');
    await v.copyFile('/f', '/g');
    expect(await v.readFile('/g', 'utf8')).toBe('short');
  });

  it('that bricks begin and cannot end is whole', async () => {
    let asked = 0;
    const type: XlatorType<Record<never, never>> = {
      type: 'test/moved',
      description: 'files that come to lie on different bricks when a few bytes have been copied',
      options: {},
      subvolumes: { min: 1, max: 1 },
      create: (init) =>
        new (class extends Xlator {
          protected override bindFop(name: string, next: never): never {
            if (name !== 'copy_file_range') return next;
            const down = next as Fop<'copy_file_range'>;
            const run: Fop<'copy_file_range'> = async (call, args) =>
              asked++ === 0 ? down(call, { ...args, size: 5 }) : fail(Errno.EXDEV);
            return run as never;
          }
        })(init),
    };
    volume = await inMemory({
      loaders: { 'test/moved': async () => type as never },
      onTop: [{ type: 'test/moved' }],
    });
    await volume.writeFile('/f', 'text that is copied');
    await volume.copyFile('/f', '/g');
    expect([asked > 1, await volume.readFile('/g', 'utf8')]).toEqual([true, 'text that is copied']);
  });
});
