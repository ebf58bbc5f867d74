/** Each node has a heal daemon, and all of them heal. */
import { type compoundStep, type Gfid, locAt } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import { expect, it } from 'vitest';
import { contents, create, marks, mkdir, rig, rigs, until, write } from './test-rig.ts';

/** Holds a healer back where it asks for the next lease on a file, once `isBetween`. */
function heldAt(slow: RigClient, gfid: Gfid, isBetween: () => boolean) {
  let proceed = () => {};
  let isHeld = false;
  const gate = new Promise<void>((resolve) => {
    proceed = resolve;
  });
  const isLock = (args: unknown) => {
    const [first] = (args as { steps?: ReturnType<typeof compoundStep>[] }).steps ?? [];
    const asked = first?.args as { loc: { gfid: Gfid }; command: string };
    return first?.fop === 'inodelk' && asked.loc.gfid === gfid && asked.command !== 'unlock';
  };
  for (const one of slow.gates)
    one.fault = (fop, args) => {
      if (fop !== 'compound' || !isLock(args) || !isBetween()) return 'pass';
      isHeld = true;
      return gate;
    };
  return { isHeld: () => isHeld, proceed: () => proceed() };
}

/** While `slow` is in the middle of a heal: another healer has its turn, then the client that lost sight of a brick for a moment. */
async function meanwhile(
  held: ReturnType<typeof heldAt>,
  gfid: Gfid,
  client: RigClient,
  change: () => Promise<unknown>,
) {
  const { bricks } = rigs[0]!;
  const isOver = async () => Object.keys(await marks(bricks[0]!, client.call, gfid)).length === 0;
  rigs[0]!.join(2);
  try {
    await until(async () => held.isHeld());
    await rigs[0]!.healDaemon(settings);
    for (let i = 0; i < 40 && !(await isOver()); i++) await new Promise((resolve) => setTimeout(resolve, 25));
    client.gates[2]!.shutDoor();
    await change();
    await client.xlator.drain();
    client.gates[2]!.openDoor();
    expect(await isOver()).toBe(false);
    held.proceed();
    await until(isOver);
  } finally {
    held.proceed();
  }
}

const settings = { 'data-self-heal-window-size': '1', 'data-self-heal-algorithm': 'full' };

it('misses nothing that was written after another one had healed it', async () => {
  const { bricks } = await rig();
  const client = await rigs[0]!.client();
  const { fd, gfid } = await create(client, 'f', 'x'.repeat(600_000));
  await client.xlator.drain();
  rigs[0]!.cut(2);
  await write(client, fd, 'y'.repeat(600_000));
  await client.xlator.drain();
  const { client: slow } = await rigs[0]!.healDaemon(settings);
  const held = heldAt(slow, gfid, () => (slow.gates[2]!.counts.get('writev') ?? 0) > 0);
  await meanwhile(held, gfid, client, () => write(client, fd, 'new'));
  const starts = await Promise.all(bricks.map(({ ops }) => contents(ops, client.call, gfid)));
  expect(starts.map((start) => String(start).slice(0, 4))).toEqual(['newy', 'newy', 'newy']);
}, 20_000);

it('misses no name that was made after another one had healed the directory', async () => {
  const { bricks } = await rig();
  const client = await rigs[0]!.client();
  const directory = await mkdir(client, 'd');
  await client.xlator.drain();
  rigs[0]!.cut(2);
  for (let i = 0; i < 70; i++) await create(client, `name${i}`, '', directory);
  await client.xlator.drain();
  const { client: slow } = await rigs[0]!.healDaemon(settings);
  const held = heldAt(slow, directory, () => (slow.gates[2]!.counts.get('mknod') ?? 0) > 0);
  await meanwhile(held, directory, client, () => create(client, 'late', '', directory));
  for (const { ops } of bricks)
    expect(await ops.lookup(client.call, { loc: locAt(directory, 'late') })).toMatchObject({ ok: true });
}, 20_000);
