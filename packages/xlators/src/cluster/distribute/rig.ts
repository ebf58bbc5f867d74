/** For tests: distribute over bricks in memory or in directories, each behind a door that can be shut. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Args,
  buildGraph,
  type Call,
  Errno,
  Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type Gfid,
  type Graph,
  type GraphEvent,
  InodeTable,
  newGfid,
  type Reply,
  rootGfid,
  runSteps,
  type Services,
  type Subvolume,
  startGraph,
  stopGraph,
  type VolumeNode,
  Xlator,
  type XlatorType,
} from '@mortar/core';
import * as libc from '@mortar/libc';
import { onTestFinished } from 'vitest';
import { xlator as locks } from '../../features/locks/index.ts';
import { type ManualClock, rigServices } from '../../lib/translator-rig.ts';
import { xlator as memory } from '../../storage/memory/index.ts';
import type { Sys } from '../../storage/posix/brick.ts';
import { xlator as posix } from '../../storage/posix/index.ts';
import { PosixXlator } from '../../storage/posix/xlator.ts';
import type { Distribute } from './distribute.ts';
import { xlator as distribute } from './index.ts';

export class Door extends Xlator {
  shut = false;
  /** As which session the bricks know who is behind it; undefined: as it says. */
  session: string | undefined;
  /** Nothing gets through any more, and nothing comes back: as for a process that was killed. */
  dead: (fop: FopName) => boolean = () => false;
  /** The brick does it, and nobody is told. */
  lost: (fop: FopName) => boolean = () => false;
  readonly counts = new Map<FopName, number>();
  /** A brick closes them when a session ends, and knows them no more. */
  readonly #opened = new Set<Fd>();
  readonly #closed = new WeakSet<Fd>();
  /** What is waited for before the brick is asked. */
  before: (fop: FopName) => Promise<void> | undefined = () => undefined;
  /** Answers instead of the brick where it returns one. */
  refuse: (fop: FopName, args: unknown) => Errno | undefined = () => undefined;

  /** What the steps of a compound go through: whatever can happen to a request can happen between two of them. */
  readonly #steps: Record<string, Fop<FopName>> = {};

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const whole: Fop<FopName> = (call, args) => runSteps(this.#steps as unknown as Fops, call, stepsOf(args));
    const run = name === 'compound' ? whole : (next as Fop<FopName>);
    this.#steps[name] = this.#guarded(name, run, false);
    return this.#guarded(name, run, true) as unknown as Fops[N];
  }

  #guarded(name: FopName, run: Fop<FopName>, isRequest: boolean): Fop<FopName> {
    return async (call, args) => {
      if (this.shut) return fail(Errno.ENOTCONN);
      const { fd } = args as { fd?: Fd };
      if (fd && this.#closed.has(fd)) return fail(Errno.EBADF);
      const errno = this.refuse(name, args);
      if (errno !== undefined) return fail(errno);
      if (isRequest) this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
      const never = () => new Promise<never>(() => {});
      if (this.dead(name)) return never();
      const wait = this.before(name);
      if (wait) await wait;
      const reply = await run(this.session === undefined ? call : { ...call, clientId: this.session }, args);
      if (reply.ok && (name === 'open' || name === 'create')) this.#remember((args as Args<'open'>).fd);
      if (this.lost(name)) return fail(Errno.ENOTCONN);
      return this.dead(name) ? never() : reply;
    };
  }

  #remember(fd: Fd): void {
    this.#opened.add(fd);
    fd.onRelease(() => this.#opened.delete(fd));
  }

  /** The session is over. */
  closeAll(): void {
    for (const fd of [...this.#opened]) {
      this.#closed.add(fd);
      fd.release();
    }
  }

  close(): void {
    this.shut = true;
    this.propagate({ type: 'child-down' });
  }

  open(): void {
    this.shut = false;
    this.propagate({ type: 'child-up' });
  }
}

function stepsOf(args: Args<FopName>): Args<'compound'>['steps'] {
  return (args as unknown as Args<'compound'>).steps;
}

const door: XlatorType = {
  type: 'test/door',
  description: 'A brick that can be out of reach.',
  options: {},
  subvolumes: { min: 1, max: 1 },
  create: (init) => new Door(init),
};

class Top extends Xlator {
  readonly events: GraphEvent[] = [];
  override notify(event: GraphEvent, from: Xlator | null): void {
    this.events.push(event);
    super.notify(event, from);
  }
}

const top: XlatorType = {
  type: 'test/top',
  description: 'Remembers events.',
  options: {},
  subvolumes: { min: 1, max: 1 },
  create: (init) => new Top(init),
};

export interface DistributeRig {
  readonly graph: Graph;
  readonly d: Distribute;
  readonly ops: Subvolume;
  readonly doors: Door[];
  /** The bricks themselves, behind the doors. */
  readonly bricks: Subvolume[];
  /** What the doors lead to: with locks, where there are any. */
  readonly served: Subvolume[];
  /** A session of the bricks, or of one, ends: its locks go. */
  endSession(clientId: string, brick?: number): void;
  readonly services: Services & { readonly clock: ManualClock };
  readonly events: GraphEvent[];
  readonly call: Call;
  gfid(): Gfid;
  /** Xattr of a path's object on a brick in hex, undefined if it has none. */
  xattr(brick: number, path: string, name: string): Promise<string | undefined>;
  /** What a brick has under a path, null if nothing. */
  onBrick(brick: number, path: string): Promise<(Reply<'lookup'> & { ok: true }) | null>;
  /** Looks a path up through the volume, name by name. */
  walk(path: string): Promise<Reply<'lookup'>>;
  /** Gfid of a path; throws if it isn't there. */
  at(path: string): Promise<Gfid>;
  requests(): number;
  close(): Promise<void>;
}

export interface RigOptions {
  readonly children?: number;
  readonly name?: string;
  readonly options?: Record<string, string>;
  /** Bricks of another rig, to mount the same volume once more. */
  readonly over?: DistributeRig;
  readonly inodes?: number;
  readonly storage?: 'memory' | 'posix';
  /** System calls of bricks in directories, in place of the kernel's. */
  readonly sys?: Partial<Sys>;
}

function posixOver(sys: Partial<Sys>): XlatorType {
  const create: typeof posix.create = (init) => new PosixXlator(init, { ...libc, ...sys });
  return { ...posix, create } as XlatorType;
}

/** Passes to bricks that another graph owns. A brick has descriptors of its own, as graphs number what they keep in them. */
function borrowed(bricks: readonly Subvolume[]): XlatorType {
  class Borrowed extends Xlator {
    readonly #inner = new WeakMap<Fd, Fd>();

    protected override bindFop<N extends FopName>(name: N, _next: Fops[N]): Fops[N] {
      const brick = bricks[Number(this.name.split('-').at(-1))]!;
      const run = brick[name] as Fop<FopName>;
      const translated: Fop<FopName> = (call, args) => run(call, this.#translated(args));
      return translated as unknown as Fops[N];
    }

    #translated<A extends object>(args: A): A {
      const fds = Object.entries(args).filter(([, value]) => value instanceof Fd);
      return fds.length === 0
        ? args
        : { ...args, ...Object.fromEntries(fds.map(([key, fd]) => [key, this.#innerOf(fd as Fd)])) };
    }

    #innerOf(fd: Fd): Fd {
      const known = this.#inner.get(fd);
      if (known) return known;
      const inner = new Fd(fd.gfid, fd.flags);
      this.#inner.set(fd, inner);
      fd.onRelease(() => inner.release());
      return inner;
    }

    override async init(): Promise<void> {
      this.propagate({ type: 'child-up' });
    }
  }
  return {
    type: 'test/borrowed',
    description: 'A brick of another graph.',
    options: {},
    subvolumes: { min: 0, max: 0 },
    create: (init) => new Borrowed(init),
  };
}

function nodeOf(name: string, type: string, subvolumes: string[], options: Record<string, string> = {}): VolumeNode {
  const at = { file: 'test.vol', line: 1, column: 1 };
  return { name, type, subvolumes, options: new Map(Object.entries(options)), at };
}

export async function distributeRig(rig: RigOptions = {}): Promise<DistributeRig> {
  const { children = 3, name = 'tr', options = {}, over, inodes = 4096, storage = 'memory', sys = {} } = rig;
  const services = { ...rigServices(), inodes: new InodeTable(inodes) };
  const numbers = Array.from({ length: children }, (_, i) => i);
  const brickType = over ? 'test/borrowed' : `storage/${storage}`;
  const onDisk = storage === 'posix' && !over;
  const base = onDisk ? mkdtempSync(join(tmpdir(), 'mortar-dht-')) : '';
  if (onDisk) onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  const brickOptions = (i: number) =>
    onDisk ? { directory: mkdtempSync(join(base, `brick${i}-`)), reserve: '0' } : {};
  const volumes = [
    ...numbers.flatMap((i) => [
      nodeOf(`${name}-brick-${i}`, brickType, [], brickOptions(i)),
      nodeOf(`${name}-locks-${i}`, 'features/locks', [`${name}-brick-${i}`]),
      nodeOf(`${name}-client-${i}`, 'test/door', [`${name}-${onDisk ? 'locks' : 'brick'}-${i}`]),
    ]),
    nodeOf(
      `${name}-dht`,
      'cluster/distribute',
      numbers.map((i) => `${name}-client-${i}`),
      options,
    ),
    nodeOf(name, 'test/top', [`${name}-dht`]),
  ];
  const types = [memory, posixOver(sys), locks, borrowed(over?.served ?? []), door, distribute, top] as XlatorType[];
  const graph = buildGraph({ volumes }, new Map(types.map((type) => [type.type, type])), services);
  await startGraph(graph);
  const d = graph.xlators.get(`${name}-dht`) as Distribute;
  const doors = numbers.map((i) => graph.xlators.get(`${name}-client-${i}`) as Door);
  const bricks = over?.bricks ?? numbers.map((i) => graph.xlators.get(`${name}-brick-${i}`)!.ops);
  const served =
    over?.served ?? numbers.map((i) => graph.xlators.get(`${name}-${onDisk ? 'locks' : 'brick'}-${i}`)!.ops);
  const call: Call = {
    uid: 0,
    gid: 0,
    groups: [],
    pid: 1,
    lockOwner: '01',
    clientId: 'c',
    time: services.clock.wall(),
  };
  const lookUp = async (ops: Fops, path: string, want?: string[]): Promise<Reply<'lookup'>> => {
    const all = want ?? ['*'];
    let reply = await ops.lookup(call, { loc: { gfid: rootGfid, parent: null, name: null }, want: all });
    for (const part of path.split('/').filter((one) => one !== '')) {
      if (!reply.ok) return reply;
      reply = await ops.lookup(call, { loc: { gfid: null, parent: reply.iatt.gfid, name: part }, want: all });
    }
    return reply;
  };
  const self: DistributeRig = {
    graph,
    d,
    ops: graph.top.ops,
    doors,
    bricks,
    served,
    endSession: (clientId, brick) => {
      if (over) over.endSession(clientId, brick);
      else
        for (const i of brick === undefined ? numbers : [brick])
          graph.xlators.get(`${name}-locks-${i}`)!.notify({ type: 'session-ended', clientId }, null);
    },
    services,
    events: (graph.top as Top).events,
    call,
    gfid: () => over?.gfid() ?? newGfid(services.random),
    onBrick: async (brick, path) => {
      const reply = await lookUp(bricks[brick]!, path);
      return reply.ok ? reply : null;
    },
    xattr: async (brick, path, xattr) => {
      const reply = await lookUp(bricks[brick]!, path);
      const value = reply.ok ? reply.xattrs[xattr] : undefined;
      return value && Buffer.from(value).toString('hex');
    },
    walk: (path) => lookUp(graph.top.ops, path, []),
    at: async (path) => {
      const reply = await lookUp(graph.top.ops, path, []);
      if (!reply.ok) throw new Error(`${path}: errno ${reply.errno}`);
      return reply.iatt.gfid;
    },
    close: async () => {
      await stopGraph(graph);
      // rm(1), for trees that are deeper than PATH_MAX.
      if (onDisk) execFileSync('rm', ['-rf', '--', base]);
    },
    requests: () => doors.reduce((sum, one) => sum + [...one.counts.values()].reduce((a, b) => a + b, 0), 0),
  };
  return self;
}

/** The bricks of both, for a rig over them. */
export function joined(a: DistributeRig, b: DistributeRig): DistributeRig {
  return {
    ...a,
    bricks: [...a.bricks, ...b.bricks],
    served: [...a.served, ...b.served],
    endSession: (clientId, brick) => {
      const inA = a.bricks.length;
      if (brick === undefined || brick < inA) a.endSession(clientId, brick);
      if (brick === undefined || brick >= inA) b.endSession(clientId, brick === undefined ? undefined : brick - inA);
    },
  };
}
