/** How long a lease that nobody uses is kept, by a clock that the test moves. */
import { type Gfid, locOf } from '@mortar/core';
import type { RigClient } from '@mortar/testing/replica-rig.ts';
import { expect, it, onTestFinished } from 'vitest';
import { ManualClock } from '../../lib/translator-rig.ts';
import { create, rig, rigs } from './test-rig.ts';

/** A notch of the wheel and a little more: what is due ends no later. */
const notchMs = 60;

async function clientWithFile(options: Record<string, string> = {}) {
  await rig();
  const client = await rigs[0]!.client(options);
  const { fd, gfid } = await create(client, 'f', 'text');
  fd.release();
  await client.xlator.drain();
  const clock = new ManualClock();
  const real = { ...client.services.clock };
  Object.assign(client.services.clock, {
    nowMs: () => clock.nowMs(),
    after: (ms: number, callback: () => void) => clock.after(ms, callback),
  });
  onTestFinished(() => void Object.assign(client.services.clock, real));
  // The creation was a use, too; it is long past.
  await clock.advance(10_000);
  return { client, clock, gfid };
}

/** Whether the change came without a lock: under a lease that was there. */
async function changeUnderLease(client: RigClient, gfid: Gfid, mode: number): Promise<boolean> {
  let isLocked = false;
  client.gates[0]!.fault = (fop, args) => {
    const { steps = [] } = args as { steps?: { fop: string }[] };
    isLocked ||= [{ fop }, ...steps].some((step) => step.fop === 'inodelk');
    return 'pass';
  };
  expect(await client.ops.setattr(client.call, { loc: locOf(gfid), attr: { mode } })).toMatchObject({ ok: true });
  client.gates[0]!.fault = () => 'pass';
  return !isLocked;
}

it('a tenth of a second after a change that nothing tells of another one of', async () => {
  const { client, clock, gfid } = await clientWithFile();
  expect(await changeUnderLease(client, gfid, 0o600)).toBe(false);
  await clock.advance(90);
  expect(await changeUnderLease(client, gfid, 0o601)).toBe(true);
  await clock.advance(400 + notchMs);
  expect(await changeUnderLease(client, gfid, 0o602)).toBe(false);
});

it('until the next one comes, where they come in turn with pauses shorter than a second', async () => {
  const { client, clock, gfid } = await clientWithFile();
  const isThere: boolean[] = [];
  for (let i = 0; i < 5; i++) {
    isThere.push(await changeUnderLease(client, gfid, 0o600 + i));
    await clock.advance(700);
  }
  expect(isThere).toEqual([false, false, true, true, true]);
});

it('not where the pauses are longer than it may be kept', async () => {
  const { client, clock, gfid } = await clientWithFile();
  for (let i = 0; i < 3; i++) {
    expect(await changeUnderLease(client, gfid, 0o600 + i)).toBe(false);
    await clock.advance(1200);
  }
});

it('as long as was said', async () => {
  const { client, clock, gfid } = await clientWithFile({ 'post-op-delay-secs': '5' });
  expect(await changeUnderLease(client, gfid, 0o600)).toBe(false);
  await clock.advance(4900);
  expect(await changeUnderLease(client, gfid, 0o601)).toBe(true);
  await clock.advance(5000 + notchMs);
  expect(await changeUnderLease(client, gfid, 0o602)).toBe(false);
});
