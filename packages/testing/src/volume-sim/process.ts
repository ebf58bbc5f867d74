/** A client process over a distributed volume, or one that moves its files: the real cluster/distribute over sessions with bricks. */
import { type Call, type Fops, parseOptions, placementDigest, type Services } from '@mortar/core';
import type { Distribute } from '@mortar/xlators/cluster/distribute/distribute.ts';
import { xlator as distribute } from '@mortar/xlators/cluster/distribute/index.ts';
import { type SimBrick, servicesOf, type Told, type World } from '../sim/brick.ts';
import { Wire } from '../sim/network.ts';
import { Remote } from '../sim/remote.ts';
import { SimNode } from '../sim/scheduler.ts';
import { CountedOps } from './counted-ops.ts';

/** What a volfile says: which bricks, and which of them are to go. */
export interface Shape {
  /** Of the volume: one more with each volfile. */
  readonly version: number;
  readonly bricks: readonly number[];
  readonly leaving: readonly number[];
}

/** What clients with this volfile tell bricks. */
export function toldOf({ bricks, leaving, version }: Shape): Told {
  const subvolumes = bricks.map((i) => ({ bricks: [`brick-${i}`], leaves: leaving.includes(i) }));
  return { placement: placementDigest(subvolumes), placementVersion: version };
}

export interface SimGraph {
  readonly d: Distribute;
  readonly counted: CountedOps;
  readonly remotes: readonly Remote[];
}

/** Who had the volume before goes on in the old graph with what is under way; that takes no longer. */
const oldGraphMs = 60_000;
/** It ends before that when there were no requests for so long. */
const idleMs = 500;

export class VolumeProcess {
  readonly name: string;
  readonly node: SimNode;
  readonly #world: World;
  readonly #bricks: readonly SimBrick[];
  readonly #options: Readonly<Record<string, string>>;
  readonly #delayMs: [number, number];
  readonly #old = new Set<SimGraph>();
  readonly services: Services;
  #graphs = 0;
  #graph: SimGraph | undefined;
  /** Of graphs that are not shut down yet. */
  readonly remotes = new Set<Remote>();

  constructor(
    name: string,
    world: World,
    bricks: readonly SimBrick[],
    options: Readonly<Record<string, string>>,
    delayMs: [number, number],
  ) {
    this.name = name;
    this.node = new SimNode(name, world.scheduler);
    // The inode table among them outlives graphs.
    this.services = servicesOf(this.node, world);
    this.#world = world;
    this.#bricks = bricks;
    this.#options = options;
    this.#delayMs = delayMs;
  }

  /** A graph of this shape, which is used when it is connected. */
  async use(shape: Shape): Promise<void> {
    const { services } = this;
    const clientId = `${this.name}/${this.#graphs++}`;
    const told = toldOf(shape);
    const remotes = shape.bricks.map((i) => {
      const wire = new Wire(this.#delayMs);
      const brick = this.#bricks[i]!;
      const remote = new Remote(`vol-client-${i}`, services, this.node, brick, wire, this.#world, clientId, told);
      remote.bind([], undefined);
      return remote;
    });
    const leaving = shape.leaving.map((i) => `vol-client-${i}`).join(',');
    const texts = new Map(Object.entries({ ...this.#options, 'decommissioned-bricks': leaving }));
    const { values } = parseOptions(distribute.options, texts);
    const d = distribute.create({
      name: 'vol-dht',
      type: distribute.type,
      options: values,
      texts,
      services,
    }) as Distribute;
    d.bind(
      remotes.map((remote) => remote.ops),
      distribute.fops,
    );
    for (const remote of remotes) remote.parents = [d];
    await d.init();
    for (const remote of remotes) {
      this.remotes.add(remote);
      remote.start();
    }
    while (!remotes.every((remote) => remote.isUp)) await this.services.clock.sleep(20);
    const old = this.#graph;
    const counted = new CountedOps(d.ops, () => services.clock.nowMs());
    this.#graph = { d, remotes, counted };
    if (!old) return;
    this.#old.add(old);
    this.#endWhenIdle(old, services.clock.nowMs() + oldGraphMs);
  }

  /** Nothing is under way in a graph that was replaced. */
  get hasSwitched(): boolean {
    return [...this.#old].every(({ counted }) => counted.isIdle(0));
  }

  #endWhenIdle(old: SimGraph, lastMs: number): void {
    if (old.counted.isIdle(idleMs) || this.services.clock.nowMs() > lastMs) this.#end(old);
    else this.node.after(idleMs / 4, () => this.#endWhenIdle(old, lastMs));
  }

  #end(graph: SimGraph): void {
    const { d, remotes } = graph;
    this.#old.delete(graph);
    this.services.inodes.freeSlot(d.slot);
    for (const remote of remotes) {
      remote.stop();
      this.remotes.delete(remote);
    }
  }

  get d(): Distribute {
    return this.#graph!.d;
  }

  get ops(): Fops {
    return this.#graph!.counted.ops;
  }

  get isWhole(): boolean {
    return this.#graph?.remotes.every((remote) => remote.isUp) === true;
  }

  get call(): Call {
    const time = this.services.clock.wall();
    return { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId: this.name, time };
  }

  get isAlive(): boolean {
    return this.node.isAlive;
  }

  /** Its kernel closes the connections. */
  kill(): void {
    for (const remote of this.remotes) remote.stop();
    this.remotes.clear();
    this.node.isAlive = false;
  }
}
