/** A client process: the real cluster/replicate over sessions with the bricks; also the heal daemon's. */
import { type Call, type Fops, type Graph, parseOptions, type Services, type Xlator } from '@mortar/core';
import { HealDaemon } from '@mortar/xlators/cluster/replicate/heal-daemon.ts';
import { type ReplicateXlator, xlator as replicate } from '@mortar/xlators/cluster/replicate/index.ts';
import { xlator as quickRead } from '@mortar/xlators/performance/quick-read/index.ts';
import { aheadMs, type SimBrick, servicesOf, type World } from './brick.ts';
import { Wire } from './network.ts';
import { Remote } from './remote.ts';
import { SimNode } from './scheduler.ts';

export class SimClient {
  readonly name: string;
  readonly node: SimNode;
  readonly services: Services;
  readonly remotes: readonly Remote[];
  readonly xlator: ReplicateXlator;
  /** Above it, where bricks are to ask before files change that are kept here. */
  readonly cache: Xlator | undefined;
  readonly daemon: HealDaemon | undefined;
  hasCrashed = false;

  constructor(
    name: string,
    world: World,
    bricks: readonly SimBrick[],
    options: Readonly<Record<string, string>>,
    delay: [number, number],
  ) {
    this.name = name;
    this.node = new SimNode(name, world.scheduler, aheadMs(world));
    this.services = servicesOf(this.node, world);
    this.remotes = bricks.map((brick, i) => {
      const remote = new Remote(`vol-client-${i}`, this.services, this.node, brick, new Wire(delay), world);
      remote.bind([], undefined);
      return remote;
    });
    const texts = new Map(Object.entries(options));
    this.xlator = replicate.create({
      name: 'vol-replicate-0',
      type: replicate.type,
      options: parseOptions(replicate.options, texts).values,
      texts,
      services: this.services,
    }) as ReplicateXlator;
    this.xlator.bind(
      this.remotes.map((remote) => remote.ops),
      replicate.fops,
    );
    for (const remote of this.remotes) remote.parents = [this.xlator];
    this.cache = world.delegates && options['iam-self-heal-daemon'] !== 'yes' ? this.#cached() : undefined;
    if (options['iam-self-heal-daemon'] === 'yes') this.daemon = new HealDaemon(this.services.clock);
  }

  #cached(): Xlator {
    const texts = new Map([['read-delegations', 'on']]);
    const { values } = parseOptions(quickRead.options, texts);
    const cache = quickRead.create({
      name: 'vol-quick-read',
      type: quickRead.type,
      options: values,
      texts,
      services: this.services,
    });
    cache.bind([this.xlator.ops], undefined);
    this.xlator.parents = [cache];
    return cache;
  }

  async start(): Promise<void> {
    await this.xlator.init();
    for (const remote of this.remotes) remote.start();
    if (!this.daemon) return;
    const graph: Graph = {
      volfile: { volumes: [] },
      top: this.xlator,
      xlators: new Map([[this.xlator.name, this.xlator]]),
      id: 1,
    };
    await this.daemon.attach(graph);
  }

  get ops(): Fops {
    return (this.cache ?? this.xlator).ops;
  }

  /** Past what is kept here: an open file may be read as it was up to a second ago. */
  get uncached(): Fops {
    return this.xlator.ops;
  }

  get call(): Call {
    const time = this.services.clock.wall();
    return { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId: this.name, time };
  }

  get isWhole(): boolean {
    return this.remotes.every((remote) => remote.isUp);
  }

  /** The process is gone; its kernel closes the connections, unless the machine is gone as well. */
  crash(silently: boolean): void {
    this.hasCrashed = true;
    if (!silently) for (const remote of this.remotes) remote.stop();
    this.node.isAlive = false;
  }
}
