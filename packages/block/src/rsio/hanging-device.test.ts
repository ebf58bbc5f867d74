/** How much a client may have under way, at a server whose device does not answer: nobody is taken for dead for it. */
import { describe, expect, it } from 'vitest';
import { bytesOf } from '../device/conformance.ts';
import type { BlockDevice } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { RigNetwork, rigServer, rigSession, rigTimes } from './rsio-rig.ts';
import { clock, ends, openOn, ports, until, WatchedDevice } from './session-rig.ts';

const mebibyte = 1024 * 1024;

/** A server with a device that holds back writes, and one that does not. */
async function hanging(paths: readonly string[], sizeBytes: number) {
  const network = new RigNetwork();
  const memory = new MemoryDevice({ sizeBytes });
  const device = new WatchedDevice(memory);
  const devices = new Map<string, BlockDevice>([
    ['db', device],
    ['other', new MemoryDevice({ sizeBytes: 4 * mebibyte })],
  ]);
  const server = await rigServer(network, paths, devices, ports);
  const session = rigSession(network, paths, ports);
  ends.push(
    () => server.close(),
    () => session.close(),
  );
  session.start();
  await until(() => session.paths.every((path) => path.isUp));
  device.held = [];
  return { network, memory, device, session, open: (name: string) => openOn([session], { name }) };
}

/** What each side sends arrives one after the other, and takes so long; of the client's in pieces. */
function slow(network: RigNetwork, ms: number): void {
  network.pieceBytes = 16 * 1024;
  const nextMs = new Map<object, number>();
  network.delay = (from, deliver) => {
    const atMs = Math.max(nextMs.get(from) ?? 0, clock.nowMs()) + ms;
    nextMs.set(from, atMs);
    clock.after(atMs - clock.nowMs(), deliver);
  };
}

describe('a server whose device does not answer', () => {
  it.each([
    ['40 MiB', ['a'], 40, mebibyte],
    ['80 MiB over two paths', ['a', 'b'], 80, mebibyte],
    ['1500 requests', ['a'], 1500, 512],
  ])('is not taken for dead with %s under way, and does each once', async (_what, paths, count, length) => {
    const { device, session, open } = await hanging(paths, count * length);
    const remote = await open('db');
    const generations = session.paths.map((path) => path.generation);
    const writing = Promise.all(
      Array.from({ length: count }, (_, i) => remote.write(i * length, Buffer.alloc(length, i), false)),
    );
    await clock.sleep(3 * rigTimes.lastDeadMs);
    expect(session.paths.map((path) => path.generation)).toEqual(generations);
    device.release();
    for (const reply of await writing) expect(reply).toEqual({ ok: true });
    expect(device.writes).toBeGreaterThanOrEqual(count);
    for (let i = 0; i < count; i += Math.ceil(count / 16))
      expect(bytesOf(await remote.read(i * length, length)).equals(Buffer.alloc(length, i))).toBe(true);
  });

  it('still answers for the other ones', async () => {
    const { device, open } = await hanging(['a'], 40 * mebibyte);
    const [remote, other] = [await open('db'), await open('other')];
    const writing = Promise.all(
      Array.from({ length: 40 }, (_, i) => remote.write(i * mebibyte, Buffer.alloc(mebibyte, i), false)),
    );
    await until(() => device.held!.length > 0);
    await clock.sleep(rigTimes.pingMs);
    const startMs = clock.nowMs();
    expect(await other.write(0, Buffer.alloc(mebibyte, 1), false)).toEqual({ ok: true });
    expect(bytesOf(await other.read(0, mebibyte)).equals(Buffer.alloc(mebibyte, 1))).toBe(true);
    expect(clock.nowMs() - startMs).toBeLessThan(rigTimes.lastDeadMs);
    device.release();
    for (const reply of await writing) expect(reply).toEqual({ ok: true });
  });

  it('still answers for the other ones, however many requests that are', async () => {
    const { device, open } = await hanging(['a'], mebibyte);
    const [remote, other] = [await open('db'), await open('other')];
    const hung = remote.write(0, Buffer.alloc(512, 1), false);
    await until(() => device.held!.length > 0);
    const bytes = Buffer.alloc(512, 2);
    let answered = 0;
    const rounds = async () => {
      for (; answered < 6000; answered += 100)
        await Promise.all(Array.from({ length: 100 }, () => other.write(0, bytes, false)));
    };
    await Promise.race([rounds(), clock.sleep(5000)]);
    expect(answered).toBe(6000);
    device.release();
    expect(await hung).toEqual({ ok: true });
  });

  it('is not taken for dead while many small writes are on their way to it', async () => {
    const [count, length] = [400, 32 * 1024];
    const { network, device, session, open } = await hanging(['a'], count * length);
    const remote = await open('db');
    const generations = session.paths.map((path) => path.generation);
    slow(network, 2);
    const writing = Promise.all(
      Array.from({ length: count }, (_, i) => remote.write(i * length, Buffer.alloc(length, i), false)),
    );
    await until(() => device.held!.length === count);
    network.delay = null;
    expect(session.paths.map((path) => path.generation)).toEqual(generations);
    device.release();
    for (const reply of await writing) expect(reply).toEqual({ ok: true });
  });
});

describe('a client that asks for more than a server may have for it to take', () => {
  it('does not take it for dead while the answers come', async () => {
    const { network, memory, session, open } = await hanging(['a'], 40 * mebibyte);
    for (let i = 0; i < 40; i++) memory.write(i * mebibyte, Buffer.alloc(mebibyte, 1), false);
    const remote = await open('db');
    const generations = session.paths.map((path) => path.generation);
    slow(network, 40);
    const startMs = clock.nowMs();
    const replies = await Promise.all(Array.from({ length: 40 }, (_, i) => remote.read(i * mebibyte, mebibyte)));
    expect(clock.nowMs() - startMs).toBeGreaterThan(2 * rigTimes.lastDeadMs);
    network.delay = null;
    expect(session.paths.map((path) => path.generation)).toEqual(generations);
    for (const reply of replies) expect(bytesOf(reply)).toHaveLength(mebibyte);
  });
});
