/** For tests: a client's session with a server over several paths, and devices that are open over it. */
import type { Clock, Random } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { afterEach, expect } from 'vitest';
import type { Answer, BlockDevice, Done } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { PassingDevice } from '../device/passing.ts';
import { RemoteDevice, type RemoteOptions } from './client/remote-device.ts';
import type { ClientSession } from './client/session.ts';
import { quietLog, RigNetwork, rigServer, rigSession } from './rsio-rig.ts';

export const clock: Clock = new SystemClock();
const random: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  integer: (below) => Math.floor(Math.random() * below),
};
export const ports = { clock, random };
export const sizeBytes = 2 * 1024 * 1024;

/** What a test has begun, to be ended after it. */
export const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

export async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !condition(); i++) await clock.sleep(5);
  expect(condition()).toBe(true);
}

/** Counts, and can hold back writes. */
export class WatchedDevice extends PassingDevice {
  writes = 0;
  held: (() => void)[] | null = null;

  override write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    this.writes++;
    if (!this.held) return this.below.write(offset, bytes, fua);
    const copy = Buffer.from(bytes);
    return new Promise<void>((resolve) => this.held!.push(resolve)).then(() => this.below.write(offset, copy, fua));
  }

  release(): void {
    const held = this.held ?? [];
    this.held = null;
    for (const go of held) go();
  }
}

export interface SessionRig {
  network: RigNetwork;
  device: WatchedDevice;
  session: ClientSession;
  open(more?: Partial<RemoteOptions>): Promise<RemoteDevice>;
}

export async function sessionRig(paths = ['a', 'b', 'c'], checked = false): Promise<SessionRig> {
  const network = new RigNetwork();
  const device = new WatchedDevice(new MemoryDevice({ sizeBytes }));
  const server = await rigServer(network, paths, new Map<string, BlockDevice>([['db', device]]), ports);
  const session = rigSession(network, paths, ports, { checked });
  ends.push(
    () => server.close(),
    () => session.close(),
  );
  session.start();
  await until(() => session.paths.every((path) => path.isUp));
  return { network, device, session, open: (more) => openOn([session], more) };
}

export async function openOn(
  sessions: readonly ClientSession[],
  more: Partial<RemoteOptions> = {},
  waitMs = 2000,
): Promise<RemoteDevice> {
  const options: RemoteOptions = { name: 'db', sessions, mode: 'exclusive', clock, log: quietLog, ...more };
  const opened = await RemoteDevice.open(options, waitMs);
  if (!opened.ok) throw Object.assign(new Error(`errno ${opened.errno}`), { errno: opened.errno });
  ends.push(() => opened.device.close());
  return opened.device;
}
