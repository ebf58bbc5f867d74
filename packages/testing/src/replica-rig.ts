/**
 * Replica sets in one process: bricks are graphs of a storage translator under locks and index; each client has a graph of
 * its own with cluster/replicate over gates to the bricks.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  buildGraph,
  type Call,
  type Fops,
  type Graph,
  InodeTable,
  type Log,
  newGfid,
  type OptionTable,
  parseOptions,
  parseVolfile,
  type Registry,
  type Services,
  startGraph,
  stopGraph,
  type XlatorType,
} from '@mortar/core';
import { HealDaemon } from '@mortar/xlators/cluster/replicate/heal-daemon.ts';
import { type ReplicateXlator, xlator as replicate } from '@mortar/xlators/cluster/replicate/index.ts';
import { xlator as index } from '@mortar/xlators/features/index/index.ts';
import { xlator as locks } from '@mortar/xlators/features/locks/index.ts';
import { xlator as memory } from '@mortar/xlators/storage/memory/index.ts';
import { xlator as posix } from '@mortar/xlators/storage/posix/index.ts';
import { BrickTop, Gate } from './gate.ts';

/** Erases the option types of a registered translator. */
function erased<T extends OptionTable>(type: XlatorType<T>): XlatorType {
  return type as unknown as XlatorType;
}

const brickTypes: Registry = new Map(
  [erased(memory), erased(posix), erased(locks), erased(index)].map((type) => [type.type, type]),
);

export function realServices(log: Log, inodeLimit = 65536): Services {
  return {
    clock: {
      nowMs: () => performance.now(),
      wall: () => {
        const ms = Date.now();
        return {
          sec: Math.floor(ms / 1000),
          nsec: (ms % 1000) * 1e6 + (Number(process.hrtime.bigint() % 1_000_000n) | 0),
        };
      },
      after: (ms, callback) => {
        const timer = setTimeout(callback, ms);
        return { cancel: () => clearTimeout(timer) };
      },
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    },
    random: {
      bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
      integer: (below) => Math.floor(Math.random() * below),
    },
    log,
    metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
    inodes: new InodeTable(inodeLimit),
    port: (name) => {
      throw new Error(`no port '${name}' here`);
    },
  };
}

export interface RigBrick {
  readonly top: BrickTop;
  readonly graph: Graph;
  /** Straight to the brick's own fops, past all clients. */
  readonly ops: Fops;
}

export interface RigClient {
  readonly ops: Fops;
  readonly xlator: ReplicateXlator;
  readonly gates: readonly Gate[];
  readonly services: Services;
  readonly call: Call;
  /** Ends all leases, as an unmount does. */
  close(): Promise<void>;
}

export class ReplicaRig {
  readonly bricks: RigBrick[] = [];
  readonly lines: string[] = [];
  readonly #directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mortar-replica-'));
  readonly #clients: RigClient[] = [];
  readonly #daemons: HealDaemon[] = [];
  readonly #storage: 'memory' | 'posix';
  #clientCount = 0;

  private constructor(storage: 'memory' | 'posix') {
    this.#storage = storage;
  }

  directoryOf(brick: number): string {
    return path.join(this.#directory, `brick-${brick}`, 'data');
  }

  /** `posix`: bricks are directories below `directoryOf`; needs root. */
  static async make(count = 3, storage: 'memory' | 'posix' = 'memory'): Promise<ReplicaRig> {
    const rig = new ReplicaRig(storage);
    for (let i = 0; i < count; i++) rig.bricks.push(await rig.#makeBrick(i));
    return rig;
  }

  get log(): Log {
    return {
      level: 'INFO',
      setLevel: () => {},
      write: (level, origin, text) => void this.lines.push(`${level} ${origin}: ${text}`),
    };
  }

  async #makeBrick(i: number): Promise<RigBrick> {
    const base = path.join(this.#directory, `brick-${i}`);
    fs.mkdirSync(this.directoryOf(i), { recursive: true });
    const options = { memory: 'option size 1GB', posix: `option directory ${this.directoryOf(i)}\n option reserve 0` };
    const volfile = parseVolfile(
      `volume s\n type storage/${this.#storage}\n ${options[this.#storage]}\nend-volume\nvolume l\n type features/locks\n subvolumes s\nend-volume\nvolume i\n type features/index\n option index-base ${base}/indices\n option xattrop-pending-watchlist trusted.afr.vol-\n option xattrop-dirty-watchlist trusted.afr.dirty\n subvolumes l\nend-volume\n`,
      `brick-${i}.vol`,
    );
    const services = realServices(this.log);
    const graph = buildGraph(volfile, brickTypes, services);
    const top = new BrickTop({ name: `top-${i}`, type: 'test/top', options: {}, texts: new Map(), services });
    top.bind([graph.top.ops], undefined);
    graph.top.parents = [top];
    await startGraph(graph);
    return { top, graph, ops: top.ops };
  }

  /** A client whose gates to all bricks are open. */
  async client(options: Record<string, string> = {}): Promise<RigClient> {
    const services = realServices(this.log);
    const clientId = `client-${++this.#clientCount}`;
    const gates = this.bricks.map((brick, i) => new Gate(`vol-client-${i}`, services, brick.top, clientId));
    for (const gate of gates) gate.bind([], undefined);
    const texts = new Map(Object.entries({ 'granular-entry-heal': 'on', ...options }));
    const { values } = parseOptions(replicate.options, texts);
    const xlator = replicate.create({
      name: 'vol-replicate-0',
      type: replicate.type,
      options: values,
      texts,
      services,
    }) as ReplicateXlator;
    xlator.bind(
      gates.map((gate) => gate.ops),
      replicate.fops,
    );
    for (const gate of gates) gate.parents = [xlator];
    await xlator.init();
    for (const gate of gates) gate.openDoor();
    const call: Call = { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId, time: services.clock.wall() };
    const close = async () => {
      await xlator.drain();
      await xlator.fini();
    };
    const client = { ops: xlator.ops, xlator, gates, services, call, close };
    this.#clients.push(client);
    return client;
  }

  /** A heal daemon with a client of its own, attached to the set. */
  async healDaemon(options: Record<string, string> = {}): Promise<{ daemon: HealDaemon; client: RigClient }> {
    const client = await this.client({ 'iam-self-heal-daemon': 'yes', ...options });
    const daemon = new HealDaemon(client.services.clock);
    this.#daemons.push(daemon);
    const graph: Graph = {
      volfile: { volumes: [] },
      top: client.xlator,
      xlators: new Map([[client.xlator.name, client.xlator]]),
      id: 1,
    };
    await daemon.attach(graph);
    return { daemon, client };
  }

  /** Cuts a brick off from all clients there are now. */
  cut(brick: number): void {
    for (const client of this.#clients) if (client.gates[brick]!.isOpen) client.gates[brick]!.shutDoor();
  }

  join(brick: number): void {
    for (const client of this.#clients) if (!client.gates[brick]!.isOpen) client.gates[brick]!.openDoor();
  }

  newGfid() {
    return newGfid({ bytes: (n) => crypto.getRandomValues(new Uint8Array(n)), integer: () => 0 });
  }

  async close(): Promise<void> {
    for (const daemon of this.#daemons) await daemon.stop();
    for (const client of this.#clients) await client.close();
    for (const brick of this.bricks) await stopGraph(brick.graph);
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}
