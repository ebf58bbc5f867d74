/**
 * A client, two servers and a device that only one of them may change, under a seed: delays, links that are cut or go silent and come
 * back with what they held, servers that stop. Does a write that was answered stay, and does anything land late?
 */

import { bytesOf } from '@mortar/block/device/conformance.ts';
import type { Answer, BlockDevice, Done } from '@mortar/block/device/device.ts';
import { MemoryDevice } from '@mortar/block/device/memory.ts';
import { PassingDevice } from '@mortar/block/device/passing.ts';
import { RemoteDevice } from '@mortar/block/rsio/client/remote-device.ts';
import { RigNetwork, rigServer, rigSession } from '@mortar/block/rsio/rsio-rig.ts';
import { Errno } from '@mortar/core';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { Scheduler, SimNode } from '@mortar/testing/sim/scheduler.ts';

const blockBytes = 512;
const blocks = 6;

/** What bricks are to the servers of a volume: storage that one of them has at a time, by an epoch. */
class Shared {
  readonly memory = new MemoryDevice({ sizeBytes: blocks * blockBytes, pageBytes: 4096 });
  epoch = 0;
}

/** A server's view of it. Writes take their time, and are refused on the storage when another one has it by then. */
class Held extends PassingDevice {
  readonly #shared: Shared;
  readonly #node: SimNode;
  readonly #random: SeededRandom;
  /** Without it the storage takes whatever comes. */
  readonly #isGuarded: boolean;
  #epoch = 0;

  constructor(shared: Shared, node: SimNode, random: SeededRandom, isGuarded: boolean) {
    super(shared.memory);
    this.#shared = shared;
    this.#node = node;
    this.#random = random;
    this.#isGuarded = isGuarded;
  }

  override async hold(force: boolean): Promise<Done> {
    await this.#pass();
    if (this.#epoch === this.#shared.epoch && this.#epoch > 0) return { ok: true };
    if (!force && this.#shared.epoch > 0) return { ok: false, errno: Errno.EBUSY };
    this.#epoch = ++this.#shared.epoch;
    return { ok: true };
  }

  #pass(): Promise<void> {
    return this.#node.clock.sleep(
      this.#random.chance(0.1) ? this.#random.between(1, 300) : this.#random.between(0.1, 3),
    );
  }

  override write(offset: number, bytes: Uint8Array, fua: boolean): Answer<Done> {
    const copy = Buffer.from(bytes);
    const epoch = this.#epoch;
    return this.#pass().then(() =>
      this.#isGuarded && epoch !== this.#shared.epoch
        ? { ok: false, errno: Errno.EKEYREVOKED }
        : this.below.write(offset, copy, fua),
    );
  }

  override async read(offset: number, length: number) {
    await this.#pass();
    if (this.#isGuarded && this.#epoch !== this.#shared.epoch) return { ok: false, errno: Errno.EKEYREVOKED } as const;
    return this.below.read(offset, length);
  }
}

export interface SessionsVerdict {
  readonly seed: number;
  readonly problems: readonly string[];
  readonly writes: number;
  readonly takeOvers: number;
}

export async function sessionsUnder(seed: number, isGuarded = true): Promise<SessionsVerdict> {
  const random = new SeededRandom(seed);
  const scheduler = new Scheduler(random.fork());
  const node = (name: string) => new SimNode(name, scheduler);
  const client = node('client');
  const servers = [node('server-0'), node('server-1')];
  const network = new RigNetwork();
  const slowest = random.pick([0.2, 2, 20]);
  const lastMs = new Map<object, number>();
  network.delay = (from, deliver) => {
    // In order within a direction; a server that is stopped reads later.
    const atMs = Math.max(scheduler.nowMs + random.between(0.05, slowest), (lastMs.get(from) ?? 0) + 1e-3);
    lastMs.set(from, atMs);
    const server = servers[Number(from.peer.address.charAt('memory:s'.length))]!;
    const receiver = network.transport.links.has(from) ? server : client;
    receiver.after(atMs - scheduler.nowMs, deliver);
  };
  const shared = new Shared();
  const names = servers.map((_, i) => [`s${i}a`, `s${i}b`]);
  const problems: string[] = [];
  for (const [i, one] of servers.entries()) {
    const devices = new Map<string, BlockDevice>([['db', new Held(shared, one, random.fork(), isGuarded)]]);
    await rigServer(network, names[i]!, devices, { clock: one.clock, random: random.fork() }, { leaseMs: 3000 });
  }
  const sessions = names.map((own) => rigSession(network, own, { clock: client.clock, random: random.fork() }));
  for (const session of sessions) session.start();
  await scheduler.runUntil(() => sessions.every((one) => one.paths.every((path) => path.isUp)), 60_000);

  let isOver = false;
  let writes = 0;
  let takeOvers = 0;
  const log = {
    level: 'INFO',
    setLevel: () => {},
    write: (_l: string, _o: string, text: string) => void (text.includes('goes to server') && takeOvers++),
  } as const;
  const opening = RemoteDevice.open(
    {
      name: 'db',
      sessions,
      mode: 'exclusive',
      clock: client.clock,
      log,
      force: true,
      takeOverMs: 500,
      lossMs: random.pick([1500, 60_000]),
    },
    5000,
  );
  let device: RemoteDevice | null = null;
  void opening.then((opened) => {
    if (opened.ok) device = opened.device;
    else problems.push(`not opened: errno ${opened.errno}`);
  });
  await scheduler.runUntil(() => device !== null || problems.length > 0, 60_000);
  const use = async (block: number): Promise<void> => {
    const own = random.fork();
    /** What may be there: a write that failed may have happened or not. */
    let possible = new Set(['']);
    const check = async (): Promise<void> => {
      const reply = await device!.read(block * blockBytes, blockBytes);
      if (!reply.ok) return;
      const value = bytesOf(reply)
        .subarray(0, 12)
        .toString()
        .replace(/[.\0]+$/, '');
      if (!possible.has(value)) problems.push(`block ${block} is '${value}', not ${[...possible].join(' or ')}`);
      possible = new Set([value]);
    };
    for (let i = 0; !isOver; i++) {
      if (own.chance(0.4)) await check();
      else {
        const value = `${block}-${i}`;
        const reply = await device!.write(block * blockBytes, Buffer.alloc(blockBytes, value.padEnd(12, '.')), false);
        if (reply.ok) possible = new Set([value]);
        else possible.add(value);
        writes++;
      }
      await client.clock.sleep(own.between(0.1, 15));
    }
    for (let i = 0; i < 50; i++) {
      await client.clock.sleep(100);
      await check();
    }
  };
  const running = Promise.all(Array.from({ length: blocks }, (_, block) => use(block)));
  let isDone = false;
  running.then(
    () => {
      isDone = true;
    },
    (error: unknown) => {
      problems.push(String((error as Error).stack));
      isDone = true;
    },
  );
  const flat = names.flat();
  for (let i = 0; i < 12; i++) {
    await scheduler.runUntil(() => false, scheduler.nowMs + random.between(50, 1500));
    const which = random.integer(2);
    const hit = random.chance(0.4) ? names[which]! : [random.pick(flat)];
    const lastsMs = random.between(20, 4000);
    const kind = random.integer(3);
    if (kind === 0) for (const name of hit) network.cut(name);
    else if (kind === 1) {
      for (const name of hit) network.silence(name);
      scheduler.after(lastsMs, () => {
        for (const name of hit) network.restore(name);
      });
    } else servers[which]!.pause(lastsMs);
  }
  await scheduler.runUntil(() => false, scheduler.nowMs + 5000);
  for (const name of flat) network.restore(name);
  await scheduler.runUntil(() => false, scheduler.nowMs + 3000);
  isOver = true;
  if (!(await scheduler.runUntil(() => isDone, scheduler.nowMs + 120_000))) problems.push('a request never ends');
  for (const session of sessions) session.close();
  return { seed, problems, writes, takeOvers };
}
