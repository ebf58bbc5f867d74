/**
 * The way from a client's graph to a brick's graph in one process, in place of protocol/client and protocol/server: with a
 * client id, file descriptors of its own on the brick, upcalls, and a door that can be shut.
 */
import {
  type Args,
  type Call,
  Errno,
  Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  type GraphEvent,
  type Reply,
  type Services,
  Xlator,
} from '@mortar/core';

/** What happens to a request before or after the brick has it. */
export type Fault = (
  fop: FopName,
  args: unknown,
  call: Call,
) => 'pass' | 'drop-request' | 'drop-reply' | Promise<void> | Errno;

/** The upper end of a brick: hands events that come up to the gates of all clients. */
export class BrickTop extends Xlator {
  readonly gates = new Set<Gate>();

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (from === null) {
      this.propagate(event);
      return;
    }
    if (event.type !== 'upcall') return;
    const { clientId, except, ...told } = event;
    for (const gate of this.gates)
      if (clientId === undefined ? gate.clientId !== except : gate.clientId === clientId) gate.fromBrick(told);
  }
}

export class Gate extends Xlator {
  readonly clientId: string;
  fault: Fault = () => 'pass';
  /** What is waited for between the brick's answer and the client's having it. */
  late: (fop: FopName) => Promise<void> | undefined = () => undefined;
  /** Requests that reached the brick, by fop. */
  readonly counts = new Map<FopName, number>();
  /** Locks that were asked for at the shut door. */
  readonly turnedAway: Args<'lk'>[] = [];
  #brick: BrickTop;
  #open = false;
  readonly #fds = new Map<Fd, Fd>();

  constructor(name: string, services: Services, brick: BrickTop, clientId: string) {
    super({ name, type: 'test/gate', options: {}, texts: new Map(), services });
    this.#brick = brick;
    this.clientId = clientId;
    brick.gates.add(this);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Lets the client in; its session on the brick is new if `lost`. */
  openDoor(brick: BrickTop = this.#brick): void {
    if (brick !== this.#brick) this.#fds.clear();
    this.#brick = brick;
    brick.gates.add(this);
    this.#open = true;
    this.propagate({ type: 'child-up' });
  }

  /** Cuts the client off; with `endSession` the brick drops its locks and open files. */
  shutDoor(endSession = true): void {
    this.#open = false;
    this.#brick.gates.delete(this);
    if (endSession) {
      for (const fd of this.#fds.values()) fd.release();
      this.#fds.clear();
      for (const child of this.#brick.children)
        child.xlator.notify({ type: 'session-ended', clientId: this.clientId }, this.#brick);
    }
    this.propagate({ type: 'child-down' });
  }

  fromBrick(event: GraphEvent): void {
    this.propagate(event);
  }

  override notify(): void {}

  protected override bindFop<N extends FopName>(name: N, _next: Fops[N]): Fops[N] {
    const run: Fop<N> = async (call, args) => {
      if (!this.#open && name === 'lk') this.turnedAway.push(args as unknown as Args<'lk'>);
      if (!this.#open) return fail(Errno.ENOTCONN);
      const fault = this.fault(name, args, call);
      if (typeof fault === 'number') return fail(fault);
      if (fault instanceof Promise) await fault;
      if (fault === 'drop-request') return fail(Errno.ENOTCONN);
      if (!this.#open) return fail(Errno.ENOTCONN);
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
      const wind = this.#brick.ops[name] as unknown as Fop<N>;
      const reply: Reply<N> = await wind({ ...call, clientId: this.clientId }, this.#translate(args));
      const wait = this.late(name);
      if (wait) await wait;
      return fault === 'drop-reply' || !this.#open ? fail(Errno.ENOTCONN) : reply;
    };
    return run as unknown as Fops[N];
  }

  /** Our fds become the brick's; also those inside the steps of a compound. */
  #translate<N extends FopName>(args: Args<N>): Args<N> {
    const copy: Record<string, unknown> = { ...args };
    for (const [key, value] of Object.entries(copy)) {
      if (value instanceof Fd) copy[key] = this.#fdOnBrick(value);
      if (key === 'steps')
        copy[key] = (value as { fop: string; args: Args<N> }[]).map((step) => ({
          ...step,
          args: this.#translate(step.args),
        }));
    }
    return copy as Args<N>;
  }

  #fdOnBrick(fd: Fd): Fd {
    let mine = this.#fds.get(fd);
    if (!mine) {
      mine = new Fd(fd.gfid, fd.flags);
      this.#fds.set(fd, mine);
      fd.onRelease(() => {
        this.#fds.get(fd)?.release();
        this.#fds.delete(fd);
      });
    }
    return mine;
  }
}
