/** What goes wrong in a run of a replica set, as its plan says. */
import { FileType } from '@mortar/core';
import { changelogOf, encodeVector, zeroVector } from '@mortar/xlators/cluster/replicate/changelog.ts';
import { newbornMarks, newObjectBlame } from '@mortar/xlators/cluster/replicate/new-object.ts';
import type { SimBrick, World } from './brick.ts';
import type { SimClient } from './client.ts';
import type { DiskMood } from './disk-mood.ts';
import { Nemesis } from './nemesis.ts';
import type { FaultKind, Plan } from './plan.ts';
import type { Remote } from './remote.ts';
import { accuses } from './replicas.ts';

/** Those that the weak brick is struck by alone. */
const lossy: readonly FaultKind[] = ['brick-power', 'disk-error', 'new-disk'];

export class ReplicaNemesis extends Nemesis<FaultKind> {
  readonly #bricks: readonly SimBrick[];
  readonly #moods: readonly DiskMood[];
  readonly #clients: readonly SimClient[];
  readonly #working: readonly SimClient[];
  readonly #plan: Plan;
  #isOver = false;
  #crashes = 0;
  /** The only brick that loses what it had not synced: what a minority loses must be safe, more need not be. */
  readonly #weak: number;

  /** `clients` are all processes that talk to bricks; `working` those that may crash. */
  constructor(
    world: World,
    plan: Plan,
    bricks: readonly SimBrick[],
    moods: readonly DiskMood[],
    clients: readonly SimClient[],
    working: readonly SimClient[],
  ) {
    super(world, plan);
    this.#plan = plan;
    this.#bricks = bricks;
    this.#weak = this.random.integer(bricks.length);
    this.#moods = moods;
    this.#clients = clients;
    this.#working = working;
  }

  /** Only one brick has what was acknowledged, if the other one with data is away: what that one loses nobody promised. */
  get mayLose(): boolean {
    const { arbiter, faults } = this.#plan;
    return arbiter && !this.#bricks[this.#weak]!.isArbiter && faults.some((kind) => lossy.includes(kind));
  }

  get mayStrike(): boolean {
    return !this.#isOver;
  }

  stop(): void {
    this.#isOver = true;
    this.calm();
  }

  protected readonly strikes: Readonly<Record<FaultKind, () => void>> = {
    cut: () => this.cut(this.random.pick(this.random.pick(this.#clients).remotes)),
    partition: () => this.#partition(true, true, this.random.between(0, 3 * this.world.pingMs)),
    'half-partition': () => {
      const up = this.random.chance(0.5);
      this.#partition(up, !up, this.random.between(0, 3 * this.world.pingMs));
    },
    'brick-kill': () => this.#crashBrick(this.random.integer(this.#bricks.length), false),
    'brick-power': () => this.#crashBrick(this.#weak, true),
    // A disk that fails is a lost minority, as a machine that dies: the same one, or nothing could be promised.
    'disk-error': () => this.#spoilDisk(this.#weak, 'disk-error'),
    'disk-full': () => this.#spoilDisk(this.random.integer(this.#bricks.length), 'disk-full'),
    'slow-disk': () => this.#spoilDisk(this.random.integer(this.#bricks.length), 'slow-disk'),
    'new-disk': () => void this.#replaceDisk(this.#weak),
    'client-crash': () => this.#crashClient(),
    'client-pause': () => this.#pause(this.random.pick(this.#clients)),
  };

  #pause(client: SimClient): void {
    const ms = this.random.between(0, 3 * (this.world.pingMs + this.world.graceMs));
    this.say(`${client.name} is paused for ${ms.toFixed(0)} ms`);
    client.node.pause(ms);
    for (const remote of client.remotes) this.#watchSilence(remote, () => client.node.isPaused);
  }

  /** One client and one brick, or one brick and all, or one client and all. */
  #partition(up: boolean, down: boolean, ms: number): void {
    const all = this.#clients.flatMap((client) => client.remotes);
    const one = this.random.pick(all);
    const shape = this.random.integer(3);
    const cut = all.filter((remote) =>
      shape === 0 ? remote === one : shape === 1 ? remote.brick === one.brick : remote.clientId === one.clientId,
    );
    this.say(
      `${cut.map((r) => `${r.clientId}/${r.brick.name}`).join(' ')} blocked ${up ? 'up ' : ''}${down ? 'down ' : ''}for ${ms.toFixed(0)} ms`,
    );
    for (const remote of cut) {
      remote.wire.block(up, down);
      this.#watchSilence(remote, () => !remote.wire.isWhole);
    }
    this.later(ms, () => {
      for (const remote of cut) remote.wire.unblock();
    });
  }

  /** Who hears nothing for the ping timeout gives the connection up. */
  #watchSilence(remote: Remote, isSilent: () => boolean): void {
    const { connection } = remote;
    if (!connection) return;
    this.brickMisses(remote, isSilent);
    remote.after(this.pingPatienceMs, () => {
      if (isSilent()) remote.lost(connection);
    });
  }

  #crashBrick(i: number, power: boolean): void {
    const brick = this.#bricks[i]!;
    if (!brick.isUp) return;
    this.#take(brick, power);
    this.restart(brick);
  }

  /** As glusterd does it: all others are told first, and the new one what they say of each other. */
  async #replaceDisk(i: number): Promise<void> {
    const brick = this.#bricks[i]!;
    const pendingKeys = this.#bricks.map((_, child) => `trusted.afr.vol-client-${child}`);
    const others = this.#bricks.flatMap((one, child) => (child === i ? [] : [{ one, child }]));
    const isWhole = () => {
      const keys = others.map(({ child }) => pendingKeys[child]!);
      return !others.some(({ one }) => accuses(one, keys));
    };
    if (this.#bricks.some((one) => !one.isUp) || (this.#plan.newDisk === 'whole' && !isWhole())) return;
    this.say(`${brick.name} is to have a new disk`);
    this.#take(brick, false);
    this.restart(brick);
    const live = { granular: this.#plan.options['granular-entry-heal'] === 'on' };
    const host = { set: { pendingKeys, holdsData: (child: number) => !this.#bricks[child]!.isArbiter }, live };
    const nothing = Object.fromEntries(pendingKeys.map((key) => [key, encodeVector(zeroVector)]));
    const values = { ...nothing, ...newObjectBlame(host, FileType.directory, [i]) };
    const said = await Promise.all(others.map(async ({ one, child }) => [child, await one.markRoot(values)] as const));
    // Where one could not be told, or it takes too long, the old disk stays.
    if (brick.isUp || said.some(([, marks]) => marks === undefined)) return;
    const owners = new Map(said.map(([child, marks]) => [child, changelogOf(marks!, pendingKeys)]));
    brick.replaceDisk(newbornMarks(host, FileType.directory, i, owners));
  }

  #take(brick: SimBrick, power: boolean): void {
    brick.crash(power);
    for (const client of this.#clients)
      for (const remote of client.remotes) {
        const { connection } = remote;
        if (remote.brick !== brick || !connection) continue;
        // The kernel of a killed process closes its connections; a dead machine is silent.
        const ms = power ? this.world.pingMs * this.random.between(0, 1) : 0;
        remote.after(ms, () => connection.send('down', () => remote.lost(connection)));
      }
  }

  #spoilDisk(i: number, kind: FaultKind): void {
    const mood = this.#moods[i]!;
    this.say(`${kind} on ${this.#bricks[i]!.name}`);
    if (kind === 'disk-error') mood.errorChance = this.random.pick([0.02, 0.2, 1]);
    else if (kind === 'disk-full') mood.isFull = true;
    else mood.slowMs = this.random.pick([5, 100, 1000]);
    this.later(this.random.between(0, 4000), () => {
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
    const client = this.random.pick(candidates);
    const silent = this.random.chance(0.3);
    this.say(`${client.name} crashes${silent ? ' with its machine' : ''}`);
    const connections = client.remotes.map((remote) => ({ remote, connection: remote.connection }));
    client.crash(silent);
    if (!silent) return;
    for (const { remote, connection } of connections)
      if (connection)
        this.world.scheduler.after(this.world.pingMs, () => remote.brick.isUp && remote.brick.lost(connection));
  }
}
