/** Makes things go wrong while a run works, as its plan says, and puts all right again at the end. */
import { Errno, type FopName } from '@mortar/core';
import type { SimBrick, World } from './brick.ts';
import type { SimClient } from './client.ts';
import type { FaultKind, Plan } from './plan.ts';
import type { SeededRandom } from './random.ts';
import type { Remote } from './remote.ts';
import { type DiskFaults, mayFail } from './storage.ts';

/** A restarted brick is a new process: that takes time, and fence tokens must be newer than all before (locks/fences.ts). */
const restartMs: [number, number] = [1_500, 6_000];

/** What one disk does at the moment. */
export class DiskMood implements DiskFaults {
  slowMs = 0;
  errorChance = 0;
  isFull = false;
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  delayMs(): number {
    return this.slowMs > 0 ? this.#random.between(0, this.slowMs) : 0;
  }

  error(fop: FopName): { errno: Errno; late: boolean } | undefined {
    if (!mayFail(fop)) return undefined;
    if (this.isFull && growing.has(fop)) return { errno: Errno.ENOSPC, late: false };
    if (this.errorChance > 0 && this.#random.chance(this.errorChance))
      return { errno: Errno.EIO, late: this.#random.chance(0.2) };
    return undefined;
  }
}

const growing = new Set<FopName>(['writev', 'create', 'mknod', 'mkdir', 'symlink', 'link', 'put', 'fallocate']);

export class Nemesis {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  readonly #bricks: readonly SimBrick[];
  readonly #moods: readonly DiskMood[];
  readonly #clients: readonly SimClient[];
  readonly #working: readonly SimClient[];
  #isOver = false;
  #crashes = 0;
  /** The only brick that loses what it had not synced: what a minority loses must be safe, more need not be. */
  readonly #weak: number;
  readonly #restore = new Set<() => void>();

  /** `clients` are all processes that talk to bricks; `working` those that may crash. */
  constructor(
    world: World,
    plan: Plan,
    bricks: readonly SimBrick[],
    moods: readonly DiskMood[],
    clients: readonly SimClient[],
    working: readonly SimClient[],
  ) {
    this.#world = world;
    this.#plan = plan;
    this.#random = world.random.fork();
    this.#bricks = bricks;
    this.#weak = this.#random.integer(bricks.length);
    this.#moods = moods;
    this.#clients = clients;
    this.#working = working;
  }

  start(): void {
    if (this.#plan.faults.length > 0) this.#next();
  }

  #next(): void {
    const waitMs = this.#random.between(0, 2 * this.#plan.faultEveryMs);
    this.#world.scheduler.after(waitMs, () => {
      if (this.#isOver) return;
      this.#strike(this.#random.pick(this.#plan.faults));
      this.#next();
    });
  }

  /** All that can be put right is. */
  stop(): void {
    this.#isOver = true;
    for (const restore of this.#restore) restore();
    this.#restore.clear();
  }

  /** Undoes a fault after a while, or when the faults end. */
  #later(ms: number, restore: () => void): void {
    const once = () => {
      if (this.#restore.delete(once)) restore();
    };
    this.#restore.add(once);
    this.#world.scheduler.after(ms, once);
  }

  #strike(kind: FaultKind): void {
    const { pingMs } = this.#world;
    const handlers: Record<FaultKind, () => void> = {
      cut: () => this.#cut(this.#random.pick(this.#random.pick(this.#clients).remotes)),
      partition: () => this.#partition(true, true, this.#random.between(0, 3 * pingMs)),
      'half-partition': () => {
        const up = this.#random.chance(0.5);
        this.#partition(up, !up, this.#random.between(0, 3 * pingMs));
      },
      'brick-kill': () => this.#crashBrick(this.#random.integer(this.#bricks.length), false),
      'brick-power': () => this.#crashBrick(this.#weak, true),
      // A disk that fails is a lost minority, as a machine that dies: the same one, or nothing could be promised.
      'disk-error': () => this.#spoilDisk(this.#weak, kind),
      'disk-full': () => this.#spoilDisk(this.#random.integer(this.#bricks.length), kind),
      'slow-disk': () => this.#spoilDisk(this.#random.integer(this.#bricks.length), kind),
      'client-crash': () => this.#crashClient(),
      'client-pause': () => this.#pause(this.#random.pick(this.#clients)),
    };
    handlers[kind]();
  }

  #pause(client: SimClient): void {
    const ms = this.#random.between(0, 3 * (this.#world.pingMs + this.#world.graceMs));
    this.#say(`${client.name} is paused for ${ms.toFixed(0)} ms`);
    client.node.pause(ms);
    for (const remote of client.remotes) this.#watchSilence(remote, () => client.node.isPaused);
  }

  #say(what: string): void {
    this.#world.trace.add('faults', what);
  }

  /** The connection breaks; each end notices in its time. */
  #cut(remote: Remote): void {
    const { connection, brick } = remote;
    if (!connection) return;
    this.#say(`connection of ${remote.clientId} to ${brick.name} breaks`);
    const { scheduler, pingMs } = this.#world;
    // What is on the way is lost with it.
    const notice = () => (this.#random.chance(0.5) ? 0 : this.#random.between(0, pingMs));
    connection.kill();
    scheduler.after(notice(), () => brick.isUp && brick.lost(connection));
    remote.after(notice(), () => remote.lost(connection));
  }

  /** One client and one brick, or one brick and all, or one client and all. */
  #partition(up: boolean, down: boolean, ms: number): void {
    const all = this.#clients.flatMap((client) => client.remotes);
    const one = this.#random.pick(all);
    const shape = this.#random.integer(3);
    const cut = all.filter((remote) =>
      shape === 0 ? remote === one : shape === 1 ? remote.brick === one.brick : remote.clientId === one.clientId,
    );
    this.#say(
      `${cut.map((r) => `${r.clientId}/${r.brick.name}`).join(' ')} blocked ${up ? 'up ' : ''}${down ? 'down ' : ''}for ${ms.toFixed(0)} ms`,
    );
    for (const remote of cut) {
      remote.wire.block(up, down);
      this.#watchSilence(remote, () => !remote.wire.isWhole);
    }
    this.#later(ms, () => {
      for (const remote of cut) remote.wire.unblock();
    });
  }

  /** Who hears nothing for the ping timeout gives the connection up. */
  #watchSilence(remote: Remote, isSilent: () => boolean): void {
    const { connection, brick } = remote;
    const { pingMs } = this.#world;
    if (!connection) return;
    const patience = () => pingMs * this.#random.between(1, 1.3);
    const { node } = brick;
    node.after(patience(), () => {
      if (isSilent() && brick.node === node && connection.open.up) brick.lost(connection);
    });
    remote.after(patience(), () => {
      if (isSilent()) remote.lost(connection);
    });
  }

  #crashBrick(i: number, power: boolean): void {
    const brick = this.#bricks[i]!;
    if (!brick.isUp) return;
    brick.crash(power);
    for (const client of this.#clients)
      for (const remote of client.remotes) {
        const { connection } = remote;
        if (remote.brick !== brick || !connection) continue;
        // The kernel of a killed process closes its connections; a dead machine is silent.
        const ms = power ? this.#world.pingMs * this.#random.between(0, 1) : 0;
        remote.after(ms, () => connection.send('down', () => remote.lost(connection)));
      }
    // The start waits for nothing but promises that settle at once.
    this.#later(this.#random.between(...restartMs), () => void brick.start());
  }

  #spoilDisk(i: number, kind: FaultKind): void {
    const mood = this.#moods[i]!;
    this.#say(`${kind} on ${this.#bricks[i]!.name}`);
    if (kind === 'disk-error') mood.errorChance = this.#random.pick([0.02, 0.2, 1]);
    else if (kind === 'disk-full') mood.isFull = true;
    else mood.slowMs = this.#random.pick([5, 100, 1000]);
    this.#later(this.#random.between(0, 4000), () => {
      if (kind === 'disk-error') mood.errorChance = 0;
      else if (kind === 'disk-full') mood.isFull = false;
      else mood.slowMs = 0;
    });
  }

  #crashClient(): void {
    const candidates = this.#working.filter((client) => !client.hasCrashed);
    // One survives, to have somebody who tells.
    if (candidates.length < 2 || this.#crashes >= 2) return;
    this.#crashes++;
    const client = this.#random.pick(candidates);
    const silent = this.#random.chance(0.3);
    this.#say(`${client.name} crashes${silent ? ' with its machine' : ''}`);
    const connections = client.remotes.map((remote) => ({ remote, connection: remote.connection }));
    client.crash(silent);
    if (!silent) return;
    for (const { remote, connection } of connections)
      if (connection)
        this.#world.scheduler.after(this.#world.pingMs, () => remote.brick.isUp && remote.brick.lost(connection));
  }
}
