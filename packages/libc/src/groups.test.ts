import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { groupsOf } from './groups.ts';

const sorted = (groups: readonly number[]) => [...groups].sort((a, b) => a - b);

/** `id -G`, for the users that every Debian has. */
const byId = (name: string) =>
  sorted(execFileSync('id', ['-G', name], { encoding: 'utf8' }).trim().split(' ').map(Number));
const uidOf = (name: string) => Number(execFileSync('id', ['-u', name], { encoding: 'utf8' }));

describe('groups of a user', () => {
  it.each(['root', 'daemon', 'nobody', 'www-data'])('of %s are those that id shows', async (name) => {
    expect(sorted((await groupsOf(uidOf(name))) as number[])).toEqual(byId(name));
  });

  it('of nobody known is ENOENT', async () => {
    expect(await groupsOf(0xfffffff0)).toBe(-2);
  });

  it('asks for several at a time', async () => {
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => groupsOf(i % 2 === 0 ? 0 : 0xfffffff0)));
    expect(new Set(all.map((one) => JSON.stringify(one)))).toEqual(new Set(['[0]', '-2']));
  });
});
