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
});
