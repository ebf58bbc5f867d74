import { describe, expect, it } from 'vitest';
import { create, marks, onBricks, rig, rigs, until, write } from './test-rig.ts';

describe('a brick that answers nothing', () => {
  it('holds neither writers nor readers, and is healed when it answers again', { timeout: 60_000 }, async () => {
    const { bricks } = await rig();
    const client = await rigs[0]!.client({ 'laggard-timeout': '1' });
    const { fd, gfid } = await create(client, 'f', 'before');
    let thaw = () => {};
    const frozen = new Promise<'pass'>((resolve) => {
      thaw = () => resolve('pass');
    });
    client.gates[1]!.fault = () => frozen as never;
    await write(client, fd, 'during', 0);
    expect(client.xlator.replica.set.up).toEqual([0, 2]);
    expect(await client.ops.readv(client.call, { fd, size: 10, offset: 0 })).toMatchObject({ ok: true });
    await create(client, 'g', 'new');
    expect(await marks(bricks[0]!, client.call, gfid)).toMatchObject({ 'vol-client-1': '000000010000000000000000' });
    client.gates[1]!.fault = () => 'pass';
    thaw();
    await until(async () => client.xlator.replica.set.up.length === 3);
    fd.release();
    await client.xlator.drain();
    const { daemon } = await rigs[0]!.healDaemon();
    await until(async () => (await onBricks(bricks, client.call, gfid)).every((text) => text === 'during'));
    await daemon.stop();
  });
});

describe('a heal daemon whose bricks hang', () => {
  /** Crawls the first graph, and has been given a second one that it waits to take. */
  async function switching() {
    await rig();
    const { daemon, client } = await rigs[0]!.healDaemon();
    await until(async () => daemon.statistics().every(({ crawls }) => crawls.at(-1)?.endSec !== undefined));
    let thaw = () => {};
    const frozen = new Promise<'pass'>((resolve) => {
      thaw = () => resolve('pass');
    });
    for (const gate of client.gates) gate.fault = () => frozen as never;
    void daemon.launch(false);
    await until(async () => daemon.statistics().every(({ crawls }) => crawls.at(-1)?.endSec === undefined));
    const next = await rigs[0]!.client({ 'iam-self-heal-daemon': 'yes' });
    const xlators = new Map([[next.xlator.name, next.xlator]]);
    const attached = daemon.attach({ volfile: { volumes: [] }, top: next.xlator, xlators, id: 2 });
    return { daemon, thaw, attached };
  }

  it('goes over to the next graph when they answer', async () => {
    const { daemon, thaw, attached } = await switching();
    expect(daemon.statistics()).toEqual([]);
    thaw();
    await attached;
    expect(daemon.statistics()).toHaveLength(3);
  });

  it('takes no graph any more when it was stopped meanwhile, and has stopped when the first one is left', async () => {
    const { daemon, thaw, attached } = await switching();
    let isStopped = false;
    const stopped = daemon.stop().then(() => {
      isStopped = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(isStopped).toBe(false);
    thaw();
    await Promise.all([attached, stopped]);
    expect(daemon.statistics()).toEqual([]);
  });
});
