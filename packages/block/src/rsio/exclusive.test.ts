import { Errno } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { bytesOf, pattern } from '../device/conformance.ts';
import { rigSession } from './rsio-rig.ts';
import { clock, ends, openOn, ports, sessionRig, until, type WatchedDevice } from './session-rig.ts';

/** Whoever opens the device waits until `release`. */
function heldBack(device: WatchedDevice) {
  const { hold } = device;
  const waiting: (() => void)[] = [];
  device.hold = async (force) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return hold.call(device, force);
  };
  const release = () => {
    device.hold = hold;
    for (const go of waiting) go();
  };
  return {
    get count() {
      return waiting.length;
    },
    release,
  };
}

describe('a device of two clients', () => {
  async function two() {
    const { network, device, open } = await sessionRig(['a']);
    const other = rigSession(network, ['a'], ports, { client: 'venus', key: '0xvenus' });
    ends.push(() => other.close());
    other.start();
    return { below: device, one: await open(), other };
  }

  it('is refused to the second, unless it is taken by force; then nothing of the first one lands', async () => {
    const { below, one, other } = await two();
    await expect(openOn([other])).rejects.toMatchObject({ errno: Errno.EBUSY });
    below.held = [];
    const early = one.write(0, pattern(4096, 1), false);
    await until(() => below.held!.length === 1);
    let isTaken = false;
    const taking = openOn([other], { force: true }).then((device) => {
      isTaken = true;
      return device;
    });
    await clock.sleep(50);
    expect(isTaken).toBe(false);
    below.release();
    expect(await early).toEqual({ ok: true });
    const second = await taking;
    expect(await second.write(0, pattern(4096, 2), false)).toEqual({ ok: true });
    expect(await one.write(0, pattern(4096, 3), false)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(await one.read(0, 4096)).toMatchObject({ errno: Errno.EKEYREVOKED });
    expect(bytesOf(await second.read(0, 4096)).equals(pattern(4096, 2))).toBe(true);
    expect(one.isLost).toBe(true);
  });

  it('may be read by others, or shared', async () => {
    const { one, other } = await two();
    const reader = await openOn([other], { mode: 'read' });
    await one.write(0, pattern(512, 1), false);
    expect(bytesOf(await reader.read(0, 512)).equals(pattern(512, 1))).toBe(true);
    expect(await reader.write(0, pattern(512, 2), false)).toMatchObject({ errno: Errno.EPERM });
    await one.close();
    const shared = await openOn([other], { mode: 'shared' });
    expect(await shared.write(0, pattern(512, 2), false)).toEqual({ ok: true });
  });

  it('is free for the second when the first gave it up while it was being opened anew', async () => {
    const { network, device, session, open } = await sessionRig(['a']);
    const [one, other] = [await open(), rigSession(network, ['a'], ports, { client: 'venus', key: '0xvenus' })];
    ends.push(() => other.close());
    other.start();
    const opening = heldBack(device);
    session.reset();
    const reading = one.read(0, 512);
    await until(() => opening.count > 0);
    await one.close();
    opening.release();
    expect(await reading).toMatchObject({ errno: Errno.ESHUTDOWN });
    expect(await (await openOn([other])).write(0, pattern(512, 1), false)).toEqual({ ok: true });
  });

  it('is free for the second when the first did not wait for it to be opened', async () => {
    const { network, device, session } = await sessionRig(['a']);
    const other = rigSession(network, ['a'], ports, { client: 'venus', key: '0xvenus' });
    ends.push(() => other.close());
    other.start();
    const opening = heldBack(device);
    await expect(openOn([session], { openMs: 50, answerMs: 100 })).rejects.toThrow();
    opening.release();
    expect(await (await openOn([other])).write(0, pattern(512, 1), false)).toEqual({ ok: true });
  });

  it('is waited for when it takes longer to open than a server is waited for at a time, and is opened once', async () => {
    const { device, session } = await sessionRig(['a']);
    const opening = heldBack(device);
    const opened = openOn([session], { openMs: 50 }, 200);
    await clock.sleep(500);
    expect(opening.count).toBe(1);
    opening.release();
    expect(await (await opened).write(0, pattern(512, 1), false)).toEqual({ ok: true });
  });

  it('is opened once, too, when its session begins anew', async () => {
    const { device, session, open } = await sessionRig(['a']);
    const one = await open({ openMs: 50 });
    const opening = heldBack(device);
    session.reset();
    const reading = one.read(0, 512);
    await clock.sleep(500);
    expect(opening.count).toBe(1);
    opening.release();
    expect(await reading).toMatchObject({ ok: true });
  });
});
