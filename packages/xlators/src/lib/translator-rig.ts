/** For tests of one translator: services with a clock that stands until moved, and a child that answers as told. */
import {
  type Call,
  type Clock,
  type Fop,
  type FopName,
  type Fops,
  type GraphEvent,
  InodeTable,
  type LogLevel,
  type OptionTable,
  parseOptions,
  type Reply,
  type Services,
  type Timespec,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';

/** Time that passes only by `advance`; timers fire in order, promises run between them. */
export class ManualClock implements Clock {
  #now = 0;
  #wall: Timespec = { sec: 1_800_000_000, nsec: 0 };
  #timers: { at: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#now;
  }

  wall(): Timespec {
    return { ...this.#wall };
  }

  after(ms: number, callback: () => void) {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  get pending(): number {
    return this.#timers.length;
  }

  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.#moveTo(Math.max(this.#now, due.at));
      due.callback();
      await settle();
    }
    this.#moveTo(Math.max(this.#now, until));
    await settle();
  }

  /** Time passes while the event loop is kept busy: timers that come due meanwhile are late. */
  burn(ms: number): void {
    this.#moveTo(this.#now + ms);
  }

  #moveTo(now: number): void {
    const nanos = this.#wall.nsec + Math.round((now - this.#now) * 1e6);
    this.#wall = { sec: this.#wall.sec + Math.floor(nanos / 1e9), nsec: nanos % 1e9 };
    this.#now = now;
  }
}

/** Lets all promises that can run now run. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export interface RigServices extends Services {
  readonly clock: ManualClock;
  readonly lines: { level: LogLevel; text: string }[];
  readonly ports: Map<string, unknown>;
}

export function rigServices(seed = 1): RigServices {
  const lines: RigServices['lines'] = [];
  const ports = new Map<string, unknown>();
  let state = seed;
  const integer = (below: number) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  return {
    clock: new ManualClock(),
    random: { integer, bytes: (count) => Uint8Array.from({ length: count }, () => integer(256)) },
    log: { level: 'TRACE', setLevel: () => {}, write: (level, _origin, text) => lines.push({ level, text }) },
    metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
    inodes: new InodeTable(16),
    lines,
    ports,
    port: <T>(name: string): T => {
      if (!ports.has(name)) throw new Error(`no port ${name}`);
      return ports.get(name) as T;
    },
  };
}

export type Answers = { [N in FopName]?: Fop<N> };

/** The child: answers from `answers`, else with a plain success; remembers what was called and which events came. */
export class RigChild extends Xlator {
  readonly calls: { fop: FopName; call: Call; args: unknown }[] = [];
  readonly events: GraphEvent[] = [];
  answers: Answers = {};

  protected override bindFop<N extends FopName>(name: N, _next: Fops[N]): Fops[N] {
    const run = async (call: Call, args: unknown): Promise<unknown> => {
      this.calls.push({ fop: name, call, args });
      const answer = this.answers[name] as ((call: Call, args: unknown) => Promise<unknown>) | undefined;
      return answer ? answer(call, args) : { ok: true };
    };
    return run as unknown as Fops[N];
  }

  override notify(event: GraphEvent): void {
    this.events.push(event);
  }
}

class RigParent extends Xlator {
  readonly events: GraphEvent[] = [];

  override notify(event: GraphEvent): void {
    this.events.push(event);
  }
}

export interface Rig<X extends Xlator> {
  readonly xlator: X;
  readonly child: RigChild;
  readonly services: RigServices;
  /** Events that went up. */
  readonly events: GraphEvent[];
  reconfigure(options: Record<string, string>): void;
}

function initOf(name: string, type: string, services: Services): XlatorInit {
  return { name, type, options: {}, texts: new Map(), services };
}

/** One translator over a RigChild, initialised. */
export async function rig<T extends OptionTable, X extends Xlator = Xlator>(
  type: XlatorType<T>,
  options: Record<string, string> = {},
  services: RigServices = rigServices(),
): Promise<Rig<X>> {
  const texts = new Map(Object.entries(options));
  const { values } = parseOptions(type.options, texts);
  const xlator = type.create({ name: 'tested', type: type.type, options: values, texts, services }) as X;
  const child = new RigChild(initOf('below', 'test/child', services));
  const parent = new RigParent(initOf('above', 'test/parent', services));
  child.bind([], undefined);
  xlator.bind([child.ops], type.fops);
  child.parents = [xlator];
  xlator.parents = [parent];
  await xlator.init();
  const reconfigure = (changed: Record<string, string>) => {
    const all = new Map(Object.entries({ ...options, ...changed }));
    xlator.reconfigure(parseOptions(type.options, all).values, all);
  };
  return { xlator, child, services, events: parent.events, reconfigure };
}

export function rigCall(clientId: string, more: Partial<Call> = {}): Call {
  return {
    uid: 0,
    gid: 0,
    groups: [],
    pid: 1,
    lockOwner: '',
    clientId,
    time: { sec: 1_800_000_000, nsec: 0 },
    ...more,
  };
}

export function errnoOfReply<N extends FopName>(reply: Reply<N>): number {
  return reply.ok ? 0 : reply.errno;
}
