/** A brick on another process or host, as a subvolume. */
import {
  type Args,
  type Call,
  Errno,
  errnoName,
  type Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  fops,
  type GraphEvent,
  locksGivenBack,
  locOf,
  type OptionValues,
  type RawStep,
  type Reply,
  rootCall,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import {
  type Address,
  ClientSession,
  guardedSteps,
  type Identity,
  lateOpendir,
  type TlsSettings,
  type TransportPort,
  tlsOfOptions,
  transportPortName,
  type Welcome,
} from '@mortar/rpc';
import { answerRecall } from '../../lib/delegation.ts';
import { RemoteFds } from './fds.ts';
import { locate } from './locate.ts';
import { options } from './options.ts';
import { Orphans } from './orphans.ts';
import { sparedFops } from './spared.ts';

type Values = OptionValues<typeof options>;

const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_DIRECT = 0o40000;
/** Files that are opened anew at a time. */
const reopenAtATime = 64;
/** The cluster's operating version of GlusterFS 11, whose features this client has. */
const opVersion = 110000;

export class ProtocolClient extends Xlator {
  #values: Values;
  readonly #port: TransportPort;
  readonly #session: ClientSession;
  readonly #fds: RemoteFds;
  readonly #clientId: string;
  readonly #tls: TlsSettings | undefined;
  #hadSession = false;
  #lastAddress: Address | null = null;
  #reached = false;
  /** Of the brick, as it said when the session began. */
  #features: readonly string[] = [];
  readonly #orphans = new Orphans();
  /** How each fop goes to the brick. */
  readonly #sent = {} as Fops;
  readonly #spared: Partial<Fops>;

  constructor(init: XlatorInit<typeof options>) {
    super(init as unknown as XlatorInit);
    this.#values = init.options;
    const { clock, random, log, metrics } = init.services;
    this.#port = init.services.port<TransportPort>(transportPortName);
    this.#clientId = this.#newClientId();
    this.#tls = tlsOfOptions(init.texts);
    this.#fds = new RemoteFds(this.slot, (id) => this.#session.release(id));
    const host = {
      fds: this.#fds,
      opensLate: () => this.#session.isUp && this.#features.includes(lateOpendir),
      guardsSteps: () => this.#features.includes(guardedSteps),
      isStrict: () => this.#values['strict-locks'],
    };
    this.#spared = sparedFops(host, this.#sent);
    this.#session = new ClientSession({
      clock,
      random,
      log,
      metrics,
      name: this.name,
      transport: this.#port.transport,
      resolve: () => this.#locate(),
      identity: this.#identity(),
      fds: this.#fds,
      events: {
        attached: (welcome) => this.#attached(welcome),
        up: () => this.#cameUp(),
        down: () => this.propagate({ type: 'child-down' }),
        refused: ({ errno, reason }) => {
          if (errno === Errno.EACCES) this.propagate({ type: 'refused', reason });
        },
        upcall: (upcall) => this.#told(upcall),
      },
      ...this.#timeouts(),
    });
  }

  /** Unique for this translator in this graph of this process: nobody else may resume its session. */
  #newClientId(): string {
    const { hostName, processId } = this.#port;
    const chance = Buffer.from(this.services.random.bytes(6)).toString('hex');
    return `${hostName}-${processId}-${this.services.clock.wall().sec}-${chance}-${this.name}`;
  }

  #identity(): Identity {
    const values = this.#values;
    const versionNow = () => this.#values['placement-version'];
    return {
      program: 'glusterfs',
      processId: this.#port.processId,
      clientId: this.#clientId,
      subvolume: values['remote-subvolume'],
      volumeId: values['volume-id'],
      subdirectory: values['subdir-mount'],
      user: values.username,
      password: values.password,
      opVersion,
      placement: values.placement,
      get placementVersion() {
        return versionNow();
      },
    };
  }

  #timeouts() {
    return {
      pingTimeoutMs: this.#values['ping-timeout'] * 1000,
      requestTimeoutMs: this.#values['frame-timeout'] * 1000,
    };
  }

  async #locate(): Promise<Address> {
    const values = this.#values;
    // A socket file may be there and not be ours to open: the next attempt goes over TCP.
    const avoidSocket = this.#lastAddress?.kind === 'unix' && !this.#reached;
    this.#reached = false;
    const where = {
      host: values['remote-host'] || 'localhost',
      port: values['remote-port'],
      path: values['transport.socket.connect-path'],
      subvolume: values['remote-subvolume'],
      ...(this.#tls && { tls: this.#tls }),
    };
    this.#lastAddress = await locate(where, this.#port, this.services.clock, avoidSocket);
    return this.#lastAddress;
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'parent-up') {
      this.propagate({ type: 'child-connecting' });
      this.#session.start();
    } else if (event.type === 'parent-down') this.#session.stop();
    else if (event.type === 'child-wanted') this.#wanted(event.attempts);
    else super.notify(event, from);
  }

  #orphan(call: Call, unlocks: readonly RawStep[]): void {
    for (const { fop, args } of unlocks)
      if (!this.#orphans.add(fop as FopName, this.#outgoing(call), args as Args<FopName>)) {
        this.#orphans.clear();
        this.#session.giveUp();
      }
  }

  #told(upcall: Extract<GraphEvent, { type: 'upcall' }>): void {
    if (upcall.what !== 'recalled') {
      this.propagate(upcall);
      return;
    }
    const call: Call = { ...rootCall(this.services.clock), clientId: this.#clientId };
    const send = (args: Args<'ipc'>) => this.#session.fop('ipc', call, args);
    void answerRecall(upcall, (event) => this.propagate(event), send);
  }

  #wanted(attempts: Promise<void>[] | undefined): void {
    if (attempts) attempts.push(this.#session.asked());
    else this.#session.needed();
  }

  protected override bindFop<N extends FopName>(name: N): Fops[N] {
    const session = this.#session;
    let run: Fop<N> = (call, args) => session.fop(name, this.#outgoing(call), args);
    if (name === 'open' || name === 'create' || name === 'opendir' || name === 'compound')
      run = (call, args) => session.fop(name, this.#outgoing(call), this.#opening(name, args));
    if (fops[name].class === 'lock' || name === 'compound') {
      const send = run;
      run = (call, args) => {
        if (!session.isUp) this.#orphan(call, locksGivenBack(name, args));
        return send(call, args);
      };
    }
    const sent = this.#withLocks(this.#traced(name, run)) as unknown as Fops[N];
    this.#sent[name] = sent;
    return this.#spared[name] ?? sent;
  }

  /** Through an fd whose lock was lost nothing is done: somebody else may have it by now. */
  #withLocks<N extends FopName>(run: Fop<N>): Fop<N> {
    const fds = this.#fds;
    const isLost = (args: object): boolean => {
      const { fd, steps } = args as { fd?: Fd; steps?: readonly RawStep[] };
      return (fd !== undefined && fds.isLost(fd)) || (steps?.some((step) => isLost(step.args)) ?? false);
    };
    return (call, args) => (fds.someLost && isLost(args) ? Promise.resolve(fail(Errno.EBADFD)) : run(call, args));
  }

  /** Every request and answer in the log, while that is asked for. */
  #traced<N extends FopName>(name: N, run: Fop<N>): Fop<N> {
    const { log } = this.services;
    if (!log.wants) return run;
    return (call, args) => {
      if (!log.wants!('TRACE', this.name)) return run(call, args);
      const trace = (text: string) => log.write('TRACE', this.name, text, undefined, 'rpc-clnt.c');
      const fop = name.toUpperCase();
      trace(`${fop} sent to ${this.#values['remote-subvolume']}, pid ${call.pid}, uid ${call.uid}, gid ${call.gid}`);
      const answer = run(call, args);
      const tell = (reply: Reply<N>) => trace(`${fop} answered: ${reply.ok ? 'ok' : errnoName(reply.errno)}`);
      answer.then(tell, () => {});
      return answer;
    };
  }

  #outgoing(call: Call): Call {
    return this.#values['send-gids'] || call.groups.length === 0 ? call : { ...call, groups: [] };
  }

  /** Arguments of a fop that opens files: remembers which are directories, takes O_DIRECT away if told so. */
  #opening<N extends FopName>(name: N, args: Args<N>): Args<N> {
    const bag = args as unknown as { fd: Fd; flags: number; steps: RawStep[] };
    if (name === 'opendir') this.#fds.isDirectory(bag.fd);
    else if (name === 'compound') {
      const steps = bag.steps.map((step) => ({
        fop: step.fop,
        args: opens(step.fop) ? this.#opening(step.fop, step.args as Args<typeof step.fop & FopName>) : step.args,
      }));
      return { ...args, steps } as Args<N>;
    } else if (this.#values['filter-O_DIRECT'] && bag.flags & O_DIRECT)
      return { ...args, flags: bag.flags & ~O_DIRECT } as Args<N>;
    return args;
  }

  /** Before requests pass again: a session that is new knows none of the open files. */
  async #attached(welcome: Welcome): Promise<void> {
    this.#reached = true;
    this.#features = welcome.features;
    if (welcome.resumed) {
      this.#fds.resumed();
      return this.#orphans.giveBack((name, call, args) => this.#session.fop(name, call, args, true));
    }
    this.#orphans.clear();
    const files = this.#fds.invalidate(this.#values['strict-locks']);
    if (this.#hadSession) this.propagate({ type: 'session-lost' });
    this.#hadSession = true;
    for (let at = 0; at < files.length; at += reopenAtATime)
      await Promise.all(
        files.slice(at, at + reopenAtATime).map(({ fd, isDirectory }) => this.#reopen(fd, isDirectory)),
      );
  }

  #cameUp(): void {
    // What was given back in the moment in which the session was taken up.
    this.#orphans
      .giveBack((name, call, args) => this.#session.fop(name, call, args))
      .catch((error: Error) => this.services.log.write('ERROR', this.name, `giving locks back: ${error.stack}`));
    this.propagate({ type: 'child-up', ...(this.#lastAddress?.kind === 'unix' && { isLocal: true }) });
  }

  async #reopen(fd: Fd, isDirectory: boolean): Promise<void> {
    const call: Call = { ...rootCall(this.services.clock), clientId: this.#clientId };
    const loc = locOf(fd.gfid);
    const flags = fd.flags & ~(O_CREAT | O_EXCL | O_TRUNC);
    const reply: Reply<'open'> | Reply<'opendir'> = isDirectory
      ? await this.#session.fop('opendir', call, { loc, fd }, true)
      : await this.#session.fop('open', call, { loc, flags, fd }, true);
    if (!reply.ok)
      this.services.log.write('WARNING', this.name, `${fd.gfid} could not be opened again: errno ${reply.errno}`);
  }

  override reconfigure(values: Values): void {
    this.#values = values;
    this.#session.configure(this.#timeouts());
  }

  override async fini(): Promise<void> {
    this.#session.stop();
    this.#fds.clear();
  }

  override dump(): Record<string, string | number | boolean> {
    const { stats } = this.#session;
    const address = this.#lastAddress;
    return {
      connected: this.#session.isUp ? 1 : 0,
      ping_timeout: this.#values['ping-timeout'],
      total_bytes_read: stats.bytesReceived,
      total_bytes_written: stats.bytesSent,
      pending: stats.pending,
      queued: stats.queued,
      open_fds: this.#fds.size,
      transport: address?.kind ?? '',
      client_id: this.#clientId,
    };
  }
}

function opens(fop: string): fop is 'open' | 'opendir' | 'create' {
  return fop === 'open' || fop === 'opendir' || fop === 'create';
}

export const xlator: XlatorType<typeof options> = {
  type: 'protocol/client',
  description: 'A subvolume that is served by another process.',
  options,
  subvolumes: { min: 0, max: 0 },
  keeps: 'nothing',
  create: (init) => new ProtocolClient(init),
};
