import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { codeOf, inMemory } from './gfapi-rig.ts';
import type { Volume } from './volume.ts';

const large = 4 << 20;
let v: Volume;
let unheard: unknown[];
const note = (reason: unknown) => unheard.push(reason);

beforeEach(async () => {
  v = await inMemory();
  await v.writeFile('/f', Buffer.alloc(large, 'a'));
  unheard = [];
  process.on('unhandledRejection', note);
});
afterEach(async () => {
  process.off('unhandledRejection', note);
  await v.close();
});

/** Node looks for rejections that nobody hears when the microtasks have run. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('a transfer of many pieces', () => {
  it('that is ended by a signal is one error, which its caller hears', async () => {
    await using file = await v.open('/f', 'r+');
    const stop = new AbortController();
    const calls = [
      file.read({ buffer: Buffer.alloc(large), position: 0, signal: stop.signal }),
      file.write(Buffer.alloc(large, 'b'), { position: 0, signal: stop.signal }),
    ].map(codeOf);
    stop.abort();
    expect(await Promise.all(calls)).toEqual(['ABORT_ERR', 'ABORT_ERR']);
    await turn();
    expect(unheard).toEqual([]);
  });

  it('is not begun when its signal was given before', async () => {
    const signal = AbortSignal.abort();
    expect(await codeOf(v.writeFile('/f', Buffer.alloc(large, 'b'), { signal }))).toBe('ABORT_ERR');
    await using file = await v.open('/f', 'r+');
    expect(await codeOf(file.write(Buffer.alloc(large, 'b'), { position: 0, signal }))).toBe('ABORT_ERR');
    await turn();
    expect(unheard).toEqual([]);
    expect(((await v.readFile('/f')) as Buffer).equals(Buffer.alloc(large, 'a'))).toBe(true);
  });
});
