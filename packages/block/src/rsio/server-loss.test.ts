import { Errno } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { bytesOf, pattern } from '../device/conformance.ts';
import type { BlockDevice, Done } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { RigNetwork, rigServer, rigSession, rigTimes } from './rsio-rig.ts';
import { clock, ends, openOn, ports, sessionRig, sizeBytes, until } from './session-rig.ts';

/** Holds back what servers answer from now on over a path: of each connection the how manieth answer, as `isHeld` says. */
function holdAnswers(network: RigNetwork, isHeld: (name: string, count: number) => boolean) {
  const held: (() => void)[] = [];
  const counts = new Map<object, number>();
  network.delay = (from, deliver) => {
    const isServer = !network.transport.links.has(from);
    const count = (counts.get(from) ?? 0) + 1;
    counts.set(from, count);
    if (isServer && isHeld(from.peer.address.slice('memory:'.length), count)) held.push(deliver);
    else queueMicrotask(deliver);
  };
  const release = () => {
    for (const go of held.splice(0)) go();
  };
  return { held, release };
}

describe('a device whose server is lost', () => {
  it('does nothing late of a session that is over', async () => {
    const { open, network, device: below, session } = await sessionRig(['a', 'b']);
    const device = await open({ lossMs: 300, takeOverMs: 100 });
    await device.write(0, pattern(4096, 1), false);
    network.silence('a');
    network.silence('b');
    const failed = device.write(0, pattern(4096, 2), false);
    expect(await failed).toMatchObject({ errno: Errno.EIO });
    // One path is restored at a time: what the other one still has comes after a newer write.
    network.restore('a');
    await until(() => session.isUp);
    await until(() => !device.isLost);
    let reply: Done = { ok: false, errno: Errno.EIO };
    for (let i = 0; i < 100 && !reply.ok; i++) {
      reply = await device.write(0, pattern(4096, 3), false);
      await clock.sleep(20);
    }
    expect(reply).toEqual({ ok: true });
    network.restore('b');
    await clock.sleep(100);
    expect(bytesOf(await below.read(0, 4096)).equals(pattern(4096, 3))).toBe(true);
  });

  it('begins anew at a server that has forgotten it', async () => {
    const network = new RigNetwork();
    const memory = new MemoryDevice({ sizeBytes });
    const devices = new Map<string, BlockDevice>([['db', memory]]);
    const first = await rigServer(network, ['a'], devices, ports);
    const session = rigSession(network, ['a'], ports);
    ends.push(() => session.close());
    session.start();
    const device = await openOn([session]);
    expect(await device.write(0, pattern(4096, 1), false)).toEqual({ ok: true });
    await first.close();
    const second = await rigServer(network, ['a'], devices, ports);
    ends.push(() => second.close());
    expect(bytesOf(await device.read(0, 4096)).equals(pattern(4096, 1))).toBe(true);
    expect(await device.write(0, pattern(4096, 2), true)).toEqual({ ok: true });
  });

  it('does not go on in a session that was given up while a path was joining it', async () => {
    const { open, network, device: below, session } = await sessionRig(['a']);
    const device = await open();
    expect(await device.write(0, pattern(4096, 1), false)).toEqual({ ok: true });
    // Who the server is it may say, but not that the path may join.
    const joins = holdAnswers(network, (_, count) => count === 2);
    network.cut('a');
    await until(() => joins.held.length > 0);
    session.reset();
    network.delay = null;
    joins.release();
    expect(await device.write(0, pattern(4096, 2), false)).toEqual({ ok: true });
    expect(bytesOf(await below.read(0, 4096)).equals(pattern(4096, 2))).toBe(true);
  });

  it('goes on in its new session when another path hears late that the one before is over', async () => {
    const network = new RigNetwork();
    const memory = new MemoryDevice({ sizeBytes });
    const devices = new Map<string, BlockDevice>([['db', memory]]);
    const first = await rigServer(network, ['a', 'b'], devices, ports);
    const session = rigSession(network, ['a', 'b'], ports, { times: { ...rigTimes, connectMs: 5000 } });
    ends.push(() => session.close());
    session.start();
    await until(() => session.paths.every((path) => path.isUp));
    const device = await openOn([session]);
    expect(await device.write(0, pattern(4096, 1), false)).toEqual({ ok: true });
    await first.close();
    const hellos = holdAnswers(network, (_, count) => count === 1);
    const second = await rigServer(network, ['a', 'b'], devices, ports);
    ends.push(() => second.close());
    await until(() => hellos.held.length === 2);
    // Both ask for the session that is over.
    const joins = holdAnswers(network, (name) => name === 'b');
    hellos.release();
    await until(() => joins.held.length > 0);
    expect(await device.write(0, pattern(4096, 2), false)).toEqual({ ok: true });
    network.delay = null;
    joins.release();
    await until(() => session.paths.every((path) => path.isUp));
    expect(await device.write(0, pattern(4096, 3), false)).toEqual({ ok: true });
    expect(bytesOf(await memory.read(0, 4096)).equals(pattern(4096, 3))).toBe(true);
    expect(second.sessions).toHaveLength(1);
  });

  it('fails what a server that is there does not answer, and lets nothing of it happen later', async () => {
    const { open, device: below } = await sessionRig(['a', 'b']);
    const device = await open({ answerMs: 300, lossMs: 300, openMs: 200 });
    below.held = [];
    const startMs = clock.nowMs();
    const early = device.write(0, pattern(4096, 1), false);
    await until(() => below.held!.length === 1);
    const later = device.read(0, 512);
    expect(await later).toMatchObject({ ok: true });
    expect(await early).toEqual({ ok: false, errno: Errno.EIO });
    expect(clock.nowMs() - startMs).toBeGreaterThan(250);
    // The server opens it anew only when the write has ended, which is not waited for without end.
    expect(await device.write(8192, pattern(4096, 2), false)).toEqual({ ok: false, errno: Errno.EIO });
    expect(below.held).toHaveLength(1);
    below.release();
    let reply: Done = { ok: false, errno: Errno.EIO };
    for (let i = 0; i < 100 && !reply.ok; i++) {
      reply = await device.write(0, pattern(4096, 3), false);
      await clock.sleep(20);
    }
    expect(reply).toEqual({ ok: true });
    expect(bytesOf(await device.read(0, 4096)).equals(pattern(4096, 3))).toBe(true);
  });

  it('fails at once when it is told not to wait', async () => {
    const { open, network, session } = await sessionRig(['a']);
    const device = await open({ lossMs: 0 });
    network.silence('a');
    network.cut('a');
    await until(() => !session.isUp);
    expect(await device.write(0, pattern(512, 1), false)).toMatchObject({ errno: Errno.EIO });
    network.restore('a');
    await until(() => session.isUp);
    let reply: Done = { ok: false, errno: Errno.EIO };
    for (let i = 0; i < 100 && !reply.ok; i++) {
      reply = await device.write(0, pattern(512, 1), false);
      await clock.sleep(20);
    }
    expect(reply).toEqual({ ok: true });
  });
});
