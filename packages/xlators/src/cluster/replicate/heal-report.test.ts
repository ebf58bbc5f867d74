/** What `heal info` lists, and why a thing is listed. */
import { describe, expect, it } from 'vitest';
import type { BrickReport } from './heal/report.ts';
import { create, rig, rigs } from './test-rig.ts';

const pathsOf = (reports: readonly BrickReport[]) =>
  reports.map(({ entries }) => entries.map(({ path, gfid }) => path ?? gfid).sort());

async function made(count: number, options: Record<string, string>, away: readonly number[]) {
  await rig(count);
  const client = await rigs[0]!.client({ 'post-op-delay-secs': '0', ...options });
  const { daemon } = await rigs[0]!.healDaemon({ 'self-heal-daemon': 'off', ...options });
  for (const child of away) rigs[0]!.cut(child);
  const { fd, gfid } = await create(client, 'f', 'text');
  fd.release();
  await client.xlator.drain();
  for (const child of away) rigs[0]!.join(child);
  return { daemon, gfid };
}

describe('a file that was made while replicas were away', () => {
  it.each([
    ['one of two', 2, {}, [1]],
    ['one of three', 3, {}, [1]],
    ['one of three, of which one would be enough to write', 3, { 'quorum-type': 'none' }, [1]],
  ])('is listed beside its directory: %s', async (_what, count, options, away) => {
    const { daemon, gfid } = await made(count, options, away);
    const reports = await daemon.info('all');
    for (const [child, paths] of pathsOf(reports).entries())
      expect(paths).toEqual(away.includes(child) ? [] : ['/', gfid].sort());
  });

  it('is its directory’s matter where most lack it', async () => {
    const { daemon } = await made(3, { 'quorum-type': 'none' }, [1, 2]);
    expect(pathsOf(await daemon.info('all'))).toEqual([['/'], [], []]);
  });
});
