import { locAt } from '@mortar/core';
import { expect, it } from 'vitest';
import { create, marks, mkdir, rig, rigs, until } from './test-rig.ts';

const options = { 'use-anonymous-inode': 'yes', 'volume-id': 'ed5290f4-0000-4000-8000-00000000abcd' };

it('moves no name away under a lease that it has lost', async () => {
  const { bricks } = await rig();
  const client = await rigs[0]!.client(options);
  const directory = await mkdir(client, 'd');
  await create(client, 'name', '', directory);
  await client.xlator.drain();
  rigs[0]!.cut(2);
  await client.ops.unlink(client.call, { loc: locAt(directory, 'name') });
  await client.xlator.drain();
  const { client: slow } = await rigs[0]!.healDaemon(options);
  let proceed = () => {};
  let isHeld = false;
  slow.gates[2]!.fault = (fop) => {
    if (fop !== 'rename' || isHeld) return 'pass';
    isHeld = true;
    return new Promise<void>((resolve) => {
      proceed = resolve;
    });
  };
  rigs[0]!.join(2);
  await until(async () => isHeld);
  // The bricks take it for dead; another one heals, and a client gives the name to a file of its own.
  for (const [i, { top }] of bricks.entries())
    for (const child of top.children)
      child.xlator.notify({ type: 'session-ended', clientId: slow.gates[i]!.clientId }, top);
  await rigs[0]!.healDaemon(options);
  await until(async () => Object.keys(await marks(bricks[0]!, client.call, directory)).length === 0);
  const { gfid } = await create(client, 'name', 'mine', directory);
  await client.xlator.drain();
  proceed();
  // What it was about comes to its end.
  await rigs[0]!.client(options);
  await slow.xlator.drain();
  await new Promise((resolve) => setTimeout(resolve, 200));
  for (const brick of bricks) expect(await marks(brick, client.call, directory)).toEqual({});
  for (const brick of bricks)
    expect(await brick.ops.lookup(client.call, { loc: locAt(directory, 'name') })).toMatchObject({ iatt: { gfid } });
});
