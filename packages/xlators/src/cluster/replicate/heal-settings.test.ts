import { type GraphEvent, parseOptions } from '@mortar/core';
import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../lib/translator-rig.ts';
import { HealDaemon } from './heal-daemon.ts';
import { options } from './options.ts';
import { rig, until } from './test-rig.ts';

const daemons: HealDaemon[] = [];
afterEach(async () => {
  for (const daemon of daemons.splice(0)) await daemon.stop();
});

/** Crawls that have ended. */
const crawls = (daemon: HealDaemon) =>
  daemon.statistics()[0]!.crawls.filter((crawl) => crawl.endSec !== undefined).length;

async function start(texts: Record<string, string>) {
  const fixed = { 'iam-self-heal-daemon': 'yes', ...texts };
  const { xlator } = await (await rig(2)).client(fixed);
  const clock = new ManualClock();
  const daemon = new HealDaemon(clock);
  daemons.push(daemon);
  await daemon.attach({ volfile: { volumes: [] }, top: xlator, xlators: new Map([[xlator.name, xlator]]), id: 1 });
  const set = (more: Record<string, string>) =>
    xlator.reconfigure(parseOptions(options, new Map(Object.entries({ ...fixed, ...more }))).values);
  return { daemon, set, clock };
}

describe('the heal daemon that is asked while a replica seems to be away', () => {
  /** The third replica is away; `comes`: what becomes of an attempt to reach it. */
  async function away(comes: (join: () => void) => Promise<void>) {
    const made = await rig();
    const { daemon, client } = await made.healDaemon();
    daemons.push(daemon);
    made.cut(2);
    let asked = 0;
    const gate: { notify(event: GraphEvent): void } = client.gates[2]!;
    gate.notify = (event) => {
      if (event.type !== 'child-wanted') return;
      asked++;
      event.attempts?.push(comes(() => made.join(2)));
    };
    return { daemon, asked: () => asked };
  }

  it('tries it first, and finds it', async () => {
    const { daemon } = await away(async (join) => join());
    expect(await daemon.launch(false)).toBe(true);
    expect((await daemon.info('all')).map(({ connected }) => connected)).toEqual([true, true, true]);
  });

  it('says so when that was in vain, and does not wait for long', async () => {
    const { daemon, asked } = await away(() => new Promise(() => undefined));
    expect(await daemon.launch(false)).toBe(false);
    expect((await daemon.count()).map(({ count }) => count)).toEqual([0, 0, undefined]);
    expect(asked()).toBe(2);
  });
});

describe('the heal daemon when options change', () => {
  it('looks when the new heal-timeout says, not when the old one ends', async () => {
    const { daemon, set, clock } = await start({ 'heal-timeout': '600' });
    await until(async () => crawls(daemon) === 1);
    await clock.advance(20_000);
    expect(crawls(daemon)).toBe(1);
    set({ 'heal-timeout': '30' });
    await clock.advance(9_000);
    expect(crawls(daemon)).toBe(1);
    await clock.advance(1_000);
    await until(async () => crawls(daemon) === 2);
    await clock.advance(6_000);
    set({ 'heal-timeout': '5' });
    await clock.advance(0);
    await until(async () => crawls(daemon) === 3);
  });

  it('looks at once when healing is switched on, and not while it is off', async () => {
    const { daemon, set, clock } = await start({ 'self-heal-daemon': 'off', 'heal-timeout': '600' });
    set({ 'self-heal-daemon': 'off', 'heal-timeout': '5' });
    await clock.advance(20_000);
    set({ 'self-heal-daemon': 'on' });
    await clock.advance(0);
    await until(async () => crawls(daemon) === 1);
    set({ 'self-heal-daemon': 'off' });
    await clock.advance(6_000_000);
    set({ 'self-heal-daemon': 'on' });
    await clock.advance(0);
    await until(async () => crawls(daemon) === 2);
  });
});
