import type { Gfid } from '@mortar/core';
import { expect, it } from 'vitest';
import { Offers } from './offers.ts';

const parent = '00000000-0000-0000-0000-000000000001' as Gfid;
const [first, second] = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'] as Gfid[];

it('gives all who look a name up at once the gfid of the first, and forgets it with the last', async () => {
  const offers = new Offers();
  let end = () => {};
  const wait = new Promise<void>((resolve) => {
    end = resolve;
  });
  const look = (name: string, gfid: Gfid) =>
    offers.share(parent, name, gfid, async (given) => {
      await wait;
      return given;
    });
  const looks = [look('a', first!), look('a', second!), look('b', second!)];
  expect(offers.size).toBe(2);
  end();
  expect(await Promise.all(looks)).toEqual([first, first, second]);
  expect(offers.size).toBe(0);
  expect(await offers.share(parent, 'a', second!, async (given) => given)).toBe(second);
});

it('forgets it when a lookup throws', async () => {
  const offers = new Offers();
  const fails = offers.share(parent, 'a', first!, () => Promise.reject(new Error('lost')));
  await expect(fails).rejects.toThrow('lost');
  expect(offers.size).toBe(0);
});
