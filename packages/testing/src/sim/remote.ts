/** protocol/client of a simulation: a session with a brick that outlives connections, as packages/rpc has it. */
import {
  Errno,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type GraphEvent,
  locksGivenBack,
  type Reply,
  rootCall,
  type Services,
  Xlator,
} from '@mortar/core';
import { answerRecall } from '@mortar/xlators/lib/delegation.ts';
import { type SimBrick, type Told, toldNothing, type World } from './brick.ts';
import { Connection, type Wire } from './network.ts';
import type { SimNode } from './scheduler.ts';

interface Pending {
  readonly fop: FopName;
  readonly call: Parameters<Fop<FopName>>[0];
  readonly args: object;
  readonly settle: (reply: Reply<FopName>) => void;
}

const firstRetryMs = 100;
const lastRetryMs = 1000;
const connectTimeoutMs = 1000;

export class Remote extends Xlator {
  readonly clientId: string;
  readonly wire: Wire;
  readonly brick: SimBrick;
  readonly #node: SimNode;
  readonly #world: World;
  readonly #told: Told;
  #state: 'connecting' | 'up' | 'stopped' = 'connecting';
  #connection: Connection | null = null;
  #sessionId = '';
  #hadSession = false;
  #sequence = 0;
  #retryMs = firstRetryMs;
  /** Counts losses: a grace timer of an earlier one means nothing. */
  #losses = 0;
  #pending = new Map<number, Pending>();
  /** Locks to be given back if the session lives on. */
  #orphans: Pending[] = [];

  /** `clientId`: of a process with several graphs each has its own. */
  constructor(
    name: string,
    services: Services,
    node: SimNode,
    brick: SimBrick,
    wire: Wire,
    world: World,
    clientId = node.name,
    told = toldNothing,
  ) {
    super({ name, type: 'sim/remote', options: {}, texts: new Map(), services });
    this.#node = node;
    this.brick = brick;
    this.wire = wire;
    this.#world = world;
    this.clientId = clientId;
    this.#told = told;
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  start(): void {
    this.#attempt();
  }

  override notify(): void {}

  protected override bindFop<N extends FopName>(name: N, _next: Fops[N]): Fops[N] {
    const run: Fop<FopName> = (call, args) => {
      if (this.#state !== 'up') {
        for (const unlock of locksGivenBack(name, args))
          this.#orphans.push({ fop: unlock.fop as FopName, call, args: unlock.args, settle: () => undefined });
        return Promise.resolve(fail(Errno.ENOTCONN));
      }
      return new Promise((settle) => {
        const sequence = ++this.#sequence;
        this.#pending.set(sequence, { fop: name, call, args, settle });
        this.#send(sequence, false);
      });
    };
    return run as unknown as Fops[N];
  }

  #send(sequence: number, retry: boolean): void {
    const connection = this.#connection!;
    const { fop, call, args } = this.#pending.get(sequence)!;
    connection.send('up', () => {
      this.#trace(`> ${sequence}${retry ? ' again' : ''} ${describe(fop, args)}`);
      this.brick.request(connection, this.clientId, sequence, retry, fop, call, args);
    });
  }

  #attempt(): void {
    if (this.#state === 'stopped') return;
    const { brick, wire } = this;
    if (!brick.isUp) {
      this.#again();
      return;
    }
    const connection = new Connection(
      wire,
      { up: brick.node, down: this.#node },
      this.#world.scheduler,
      this.#world.random,
    );
    this.#connection = connection;
    let answered = false;
    const hooks = {
      reply: (sequence: number, reply: Reply<FopName>) => connection.send('down', () => this.#answer(sequence, reply)),
      upcall: (event: GraphEvent) => connection.send('down', () => this.#toldOf(event)),
      closed: () => connection.send('down', () => this.lost(connection)),
    };
    connection.send('up', () => {
      const welcome = brick.hello(connection, this.clientId, this.#sessionId, hooks, this.#told);
      connection.send('down', () => {
        answered = true;
        if (welcome) this.#attached(connection, welcome);
        else this.#refused(connection);
      });
    });
    this.#node.after(connectTimeoutMs, () => {
      if (answered || this.#connection !== connection) return;
      this.#drop(connection);
      this.#again();
    });
  }

  #toldOf(event: GraphEvent): void {
    if (event.type !== 'upcall' || event.what !== 'recalled') {
      this.propagate(event);
      return;
    }
    const call = { ...rootCall(this.#node.clock), clientId: this.clientId };
    void answerRecall(
      event,
      (told) => this.propagate(told),
      (args) => this.ops.ipc(call, args),
    );
  }

  #refused(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#drop(connection);
    if (this.#state !== 'stopped') this.#again();
  }

  #again(): void {
    this.#node.after(this.#retryMs, () => this.#attempt());
    this.#retryMs = Math.min(lastRetryMs, this.#retryMs * 2);
  }

  #attached(connection: Connection, welcome: { sessionId: string; resumed: boolean }): void {
    if (this.#connection !== connection) return;
    // Given up while the handshake was under way: the brick may have done what we said had failed.
    if (welcome.resumed && welcome.sessionId !== this.#sessionId) {
      this.lost(connection);
      return;
    }
    this.#trace(welcome.resumed ? 'session resumed' : 'new session');
    if (!welcome.resumed) this.#failAll();
    const orphans = welcome.resumed ? this.#orphans : [];
    this.#orphans = [];
    this.#losses++;
    this.#sessionId = welcome.sessionId;
    this.#retryMs = firstRetryMs;
    if (!welcome.resumed && this.#hadSession) this.propagate({ type: 'session-lost' });
    this.#hadSession = true;
    this.#state = 'up';
    for (const sequence of this.#pending.keys()) this.#send(sequence, true);
    for (const orphan of orphans) {
      const sequence = ++this.#sequence;
      this.#pending.set(sequence, orphan);
      this.#send(sequence, false);
    }
    this.propagate({ type: 'child-up' });
  }

  #answer(sequence: number, reply: Reply<FopName>): void {
    const pending = this.#pending.get(sequence);
    if (!pending) return;
    this.#trace(`< ${sequence} ${reply.ok ? 'ok' : reply.errno}${describeReplies(reply)}`);
    this.#pending.delete(sequence);
    pending.settle(reply);
  }

  /** The connection broke as we see it. */
  lost(connection: Connection | null = this.#connection): void {
    if (!connection || connection !== this.#connection) return;
    this.#drop(connection);
    if (this.#state === 'connecting') {
      this.#again();
      return;
    }
    this.#state = 'connecting';
    this.#trace('disconnected');
    const losses = ++this.#losses;
    this.#node.after(this.#world.graceMs, () => {
      if (losses !== this.#losses || this.#pending.size === 0) return;
      this.#sessionId = '';
      this.#failAll();
    });
    this.propagate({ type: 'child-down' });
    this.#again();
  }

  /** Our end is closed; the other one hears of it unless the way there is blocked. */
  #drop(connection: Connection): void {
    connection.open.down = false;
    this.#connection = null;
    const { brick } = this;
    connection.send('up', () => brick.lost(connection));
  }

  #failAll(): void {
    const pending = this.#pending;
    this.#pending = new Map();
    for (const { settle } of pending.values()) settle(fail(Errno.ENOTCONN));
  }

  /** A goodbye, or the end of the process. */
  stop(): void {
    this.#state = 'stopped';
    if (this.#connection) this.#drop(this.#connection);
  }

  get connection(): Connection | null {
    return this.#connection;
  }

  /** On the client's clock. */
  after(ms: number, run: () => void): void {
    this.#node.after(ms, run);
  }

  #trace(what: string): void {
    this.#world.trace.add(`${this.clientId}/${this.brick.name}`, what);
  }
}

function describe(fop: string, args: object): string {
  const { steps, loc, fd, offset, values, xdata, size, command, from, to } = args as Record<string, never>;
  if (steps) return `[${(steps as { fop: string; args: object }[]).map((s) => describe(s.fop, s.args)).join(', ')}]`;
  const place = (l: { gfid: string | null; parent: string | null; name: string | null }) =>
    l.name !== null ? `${l.parent?.slice(-4)}/${l.name}` : `${l.gfid?.slice(-4)}`;
  const words: string[] = [fop];
  if (loc) words.push(place(loc));
  if (fd) words.push(`fd:${(fd as { gfid: string }).gfid.slice(-4)}`);
  if (from && to && !('flags' in (from as object))) words.push(place(from), place(to));
  if (offset !== undefined) words.push(`@${offset}`);
  if (size !== undefined) words.push(`+${size}`);
  if (command !== undefined) words.push(command);
  if (values)
    for (const [key, value] of Object.entries(values as Record<string, Uint8Array>))
      words.push(
        `${key.replace('trusted.afr.', '')}=${Buffer.from(value)
          .toString('hex')
          .replace(/^0{7}|0{7}(?=.)/g, '')}`,
      );
  const fence = (xdata as { fence?: number } | undefined)?.fence;
  if (fence !== undefined) words.push(`f${fence % 10000}`);
  return words.join(' ');
}

function describeReplies(reply: Reply<FopName>): string {
  const { replies } = reply as { replies?: readonly { ok: boolean; errno?: number }[] };
  return replies ? ` [${replies.map((one) => (one.ok ? 'ok' : one.errno)).join(', ')}]` : '';
}
