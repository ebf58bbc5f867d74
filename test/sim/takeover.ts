/** A block device of a replica set goes from one server to another under faults: does anything of the first one land later? */

import { bytesOf } from '@mortar/block/device/conformance.ts';
import { createDevice, findDevice } from '@mortar/block/volume/catalog.ts';
import type { ServingGraph, VolumeGraph } from '@mortar/block/volume/graph.ts';
import { VolumeDevice } from '@mortar/block/volume/volume-device.ts';
import { Errno, type Failure } from '@mortar/core';
import { SimBrick, type World } from '@mortar/testing/sim/brick.ts';
import { SimClient } from '@mortar/testing/sim/client.ts';
import { DiskMood } from '@mortar/testing/sim/disk-mood.ts';
import { Patience } from '@mortar/testing/sim/patience.ts';
import { SeededRandom } from '@mortar/testing/sim/random.ts';
import { differences } from '@mortar/testing/sim/replicas.ts';
import { Scheduler } from '@mortar/testing/sim/scheduler.ts';
import { Trace } from '@mortar/testing/sim/trace.ts';

const shardBytes = 64 * 1024;
const sizeBytes = 3 * shardBytes;
const blockBytes = 512;
/** At both ends of each shard: few, so that they are written often. */
const blocks = Array.from({ length: 6 }, (_, i) => (i >> 1) * shardBytes + (i & 1) * (shardBytes - blockBytes));
const patienceMs = 240_000;

interface Written {
  readonly value: string;
  acknowledged: boolean;
}

export interface Takeover {
  readonly seed: number;
  readonly problems: readonly string[];
  /** Writes of the first server that were acknowledged, and that were refused after the take-over. */
  readonly acknowledged: number;
  readonly refused: number;
  readonly lines: readonly string[];
}

const bytesFor = (value: string) => Buffer.alloc(blockBytes, value.padEnd(16, '.'));

function graphOf(client: SimClient, random: SeededRandom): VolumeGraph {
  const serving: ServingGraph = { returnsWrites: false };
  const { clock, log } = client.services;
  return { clock, random, log, run: (work) => work(client.ops, client.call, serving) };
}

class Run {
  readonly random: SeededRandom;
  readonly scheduler: Scheduler;
  readonly patience: Patience;
  readonly trace: Trace;
  readonly bricks: SimBrick[];
  readonly first: SimClient;
  readonly second: SimClient;
  readonly healer: SimClient;
  readonly problems: string[] = [];
  /** Of the first server, by block, in order. */
  readonly writes: Written[][] = blocks.map(() => []);
  refused = 0;
  isOver = false;

  constructor(seed: number, keepTrace: boolean) {
    this.random = new SeededRandom(seed);
    this.scheduler = new Scheduler(this.random.fork());
    this.patience = new Patience(this.scheduler, patienceMs);
    this.trace = new Trace(this.scheduler, keepTrace);
    const random = this.random;
    const world: World = {
      scheduler: this.scheduler,
      trace: this.trace,
      random,
      graceMs: random.pick([300, 2000, 10_000]),
      pingMs: random.pick([500, 2000]),
      guard: true,
    };
    const delay: [number, number] = [0.05, 0.05 + random.pick([0.5, 5, 50])];
    const options = {
      'eager-lock': random.chance(0.8) ? 'on' : 'off',
      'post-op-delay-secs': random.pick(['0', '1', '3']),
      'heal-timeout': '5',
      'data-self-heal-window-size': '1',
    };
    this.bricks = [0, 1, 2].map((i) => new SimBrick(`brick-${i}`, world, new DiskMood(random.fork())));
    const client = (name: string, more = {}) => new SimClient(name, world, this.bricks, { ...options, ...more }, delay);
    this.first = client('server-1');
    this.second = client('server-2');
    this.healer = client('healer', { 'iam-self-heal-daemon': 'yes' });
    this.trace.add('plan', JSON.stringify({ options, delay }));
  }

  async pass(ms: number): Promise<void> {
    const until = this.scheduler.nowMs + ms;
    await this.scheduler.runUntil(() => false, until);
  }

  async deviceOf(client: SimClient, owner: string): Promise<VolumeDevice> {
    const graph = graphOf(client, this.random.fork());
    const found = await findDevice(graph, 'db');
    if (!found.ok) throw new Error(`no device: errno ${found.errno}`);
    return new VolumeDevice({ graph, found, owner, force: true, leaseMs: 3000, patienceMs: 20_000, settleMs: 60_000 });
  }

  /** The first server: as fast as it gets answers, one write a block at a time. */
  async writer(device: VolumeDevice): Promise<void> {
    const { clock } = this.first.services;
    const own = this.random.fork();
    const one = async (block: number) => {
      for (let i = 0; !this.isOver; i++) {
        const written: Written = { value: `a${block}-${i}`, acknowledged: false };
        this.writes[block]!.push(written);
        const reply = await device.write(blocks[block]!, bytesFor(written.value), own.chance(0.3));
        if (reply.ok) written.acknowledged = true;
        else if (reply.errno === Errno.EKEYREVOKED) this.refused++;
        this.trace.add('server-1', `${written.value}: ${reply.ok ? 'ok' : reply.errno}`);
        await clock.sleep(own.between(0.1, 40) + (reply.ok ? 0 : 200));
      }
    };
    await Promise.all(blocks.map((_, block) => one(block)));
  }

  /** What happens to the first server, to a brick, and to the way between them and the second one. */
  faults(startMs: number): void {
    const { random, scheduler } = this;
    const say = (what: string) => this.trace.add('fault', what);
    const later = (ms: number, work: () => void) => void scheduler.after(ms, work);
    const hit = startMs + random.between(-60, 60);
    if (random.chance(0.6)) {
      const pauseMs = random.between(200, 15_000);
      later(hit, () => {
        say(`server-1 stops for ${pauseMs}`);
        this.first.node.pause(pauseMs);
      });
    }
    for (const [client, chance] of [
      [this.first, 0.5],
      [this.second, 0.3],
    ] as const) {
      if (!random.chance(chance)) continue;
      const count = client === this.first ? 1 + random.integer(3) : 1;
      const from = random.integer(3);
      const at = startMs + random.between(-300, 300);
      const lasts = random.between(100, 8000);
      for (let i = 0; i < count; i++) {
        const remote = client.remotes[(from + i) % 3]!;
        later(at, () => {
          say(`${client.name} is cut off from ${remote.brick.name} for ${lasts}`);
          remote.wire.block(true, random.chance(0.7));
        });
        later(at + lasts, () => remote.wire.unblock());
      }
    }
    if (random.chance(0.4)) {
      const brick = random.pick(this.bricks);
      const at = startMs + random.between(-1500, 1500);
      later(Math.max(1, at), () => {
        say(`${brick.name} is killed`);
        brick.crash(false);
        for (const client of [this.first, this.second, this.healer])
          for (const remote of client.remotes)
            if (remote.brick === brick) {
              const { connection } = remote;
              connection?.kill();
              remote.after(1, () => remote.lost(connection));
            }
      });
      later(Math.max(1, at) + random.between(2000, 6000), () => void brick.start());
    }
  }

  async go(): Promise<void> {
    for (const brick of this.bricks) await brick.start();
    const all = [this.first, this.second, this.healer];
    for (const client of all) await client.start();
    await this.scheduler.runUntil(() => all.every((client) => client.isWhole), 60_000);
    const made = await this.patience.complete(
      'the device is made',
      createDevice(graphOf(this.first, this.random.fork()), 'db', { sizeBytes, shardBytes }),
    );
    if (!made.ok) throw new Error(`not made: errno ${(made as Failure).errno}`);
    const one = await this.patience.complete('the device is found', this.deviceOf(this.first, 'server-1'));
    const other = await this.patience.complete('the device is found', this.deviceOf(this.second, 'server-2'));
    const held = await this.patience.complete('the device is attached', one.hold());
    if (!held.ok) throw new Error(`not attached: errno ${held.errno}`);
    for (const { disk } of this.bricks) disk.syncAll();
    const writing = this.writer(one);
    const startMs = this.random.between(200, 3000);
    this.faults(startMs);
    await this.pass(startMs);
    let taken = await this.patience.complete('the device is taken over', other.hold());
    for (let i = 0; !taken.ok && i < 20; i++) {
      await this.pass(1000);
      taken = await this.patience.complete('the device is taken over after all', other.hold());
    }
    if (!taken.ok) throw new Error(`not taken over: errno ${taken.errno}`);
    this.trace.add('server-2', `has it, epoch ${other.epoch}`);
    await this.patience.complete('the second server is done', this.use(other));
    this.isOver = true;
    await this.patience.complete('the first server is done', writing);
    this.judgeFirst();
    await this.end(other);
  }

  /** The value that each block must have; several where a write failed. */
  readonly possible: Set<string>[] = [];
  readonly seen: string[] = [];

  async read(device: VolumeDevice, block: number): Promise<string> {
    const reply = await device.read(blocks[block]!, blockBytes);
    if (!reply.ok) throw new Error(`a read of the new holder fails: errno ${reply.errno}`);
    const bytes = bytesOf(reply);
    const value = bytes.subarray(0, 16).toString().replace(/\.+$/, '').replaceAll('\0', '');
    if (value !== '' && !bytes.equals(bytesFor(value))) this.problems.push(`block ${block} is torn: ${value}`);
    return value;
  }

  async use(device: VolumeDevice): Promise<void> {
    const { clock } = this.second.services;
    for (const block of blocks.keys()) {
      const value = await this.read(device, block);
      this.seen.push(value);
      this.possible.push(new Set([value]));
    }
    for (let i = 0; i < 120; i++) {
      const block = this.random.integer(blocks.length);
      if (this.random.chance(0.4)) {
        const value = `b${block}-${i}`;
        const reply = await device.write(blocks[block]!, bytesFor(value), false);
        if (reply.ok) this.possible[block] = new Set([value]);
        else this.possible[block]!.add(value);
      } else await this.check(device, block, 'then');
      await clock.sleep(this.random.between(0.1, 200));
    }
  }

  async check(device: VolumeDevice, block: number, when: string): Promise<void> {
    const value = await this.read(device, block);
    if (!this.possible[block]!.has(value))
      this.problems.push(`${when} block ${block} is ${value}, not ${[...this.possible[block]!].join(' or ')}`);
    this.possible[block] = new Set([value]);
  }

  /** The new holder found the last write that was ever acknowledged to the old one, or one that came after it. */
  judgeFirst(): void {
    for (const [block, writes] of this.writes.entries()) {
      const last = writes.findLastIndex(({ acknowledged }) => acknowledged);
      const found = writes.findIndex(({ value }) => value === this.seen[block]);
      if (found < last || (found < 0 && this.seen[block] !== ''))
        this.problems.push(`block ${block}: ${writes[last]!.value} was acknowledged, ${this.seen[block]} was found`);
    }
  }

  async end(device: VolumeDevice): Promise<void> {
    for (const client of [this.first, this.second])
      await this.patience.complete('clients drain', client.xlator.drain());
    await this.pass(25_000);
    const isClean = () =>
      this.bricks.every(({ disk: { index } }) => index.count('xattrop') + index.count('dirty') === 0);
    for (let i = 0; i < 40 && !isClean(); i++) {
      this.healer.daemon!.launch(false);
      await this.pass(5000);
    }
    for (const block of blocks.keys())
      await this.patience.complete('the device is read', this.check(device, block, 'in the end'));
    // The holder shows life by changing the directory: it rests before the disks are compared.
    await this.patience.complete('the device is closed', device.close());
    await this.patience.complete('clients drain', this.second.xlator.drain());
    await this.pass(10_000);
    this.problems.push(...differences(this.bricks));
  }
}

export async function takeOver(seed: number, keepTrace = false): Promise<Takeover> {
  const run = new Run(seed, keepTrace);
  const unhandled = (error: unknown) => void run.problems.push(`an exception: ${(error as Error).stack}`);
  process.on('unhandledRejection', unhandled);
  try {
    await run.go();
  } catch (error) {
    run.problems.push((error as Error).stack ?? String(error));
  } finally {
    process.off('unhandledRejection', unhandled);
  }
  const acknowledged = run.writes.flat().filter((one) => one.acknowledged).length;
  return { seed, problems: run.problems, acknowledged, refused: run.refused, lines: run.trace.lines ?? [] };
}
