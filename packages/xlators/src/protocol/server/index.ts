/** The top of a brick's graph: serves its subvolumes to clients over the network. */
import {
  type Args,
  type Call,
  Errno,
  type Fop,
  type FopName,
  fail,
  type Gfid,
  type GraphEvent,
  type OptionValues,
  type Reply,
  rootCall,
  type Subvolume,
  stances,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import {
  type Address,
  type Admission,
  guardedSteps,
  type Hello,
  lateOpendir,
  type PeerIdentity,
  printableAddress,
  type Refusal,
  type ServerSession,
  SessionServer,
  type Subtree,
  type TransportPort,
  tlsOfOptions,
  transportPortName,
} from '@mortar/rpc';
import { type Accounts, accountsPortName } from '../../lib/accounts.ts';
import { admit } from './auth.ts';
import { refusalOf } from './check-args.ts';
import { confine, isOnOpenFiles } from './confinement.ts';
import { options } from './options.ts';
import { mayOutsider } from './outsiders.ts';
import { clientName, PlacementFence } from './placement.ts';
import { findSubtree } from './subtree.ts';
import { UserGroups } from './user-groups.ts';

type Values = OptionValues<typeof options>;

export class ProtocolServer extends Xlator {
  #values: Values;
  #texts: ReadonlyMap<string, string>;
  readonly #port: TransportPort;
  readonly #server: SessionServer;
  #childDown: string | null = null;
  #addresses: Address[] = [];
  readonly #fence = new PlacementFence();
  /** Holders of locks that others wait for, until they give a sign of life or do not. */
  readonly #watched = new Set<ServerSession>();
  #groups: UserGroups | undefined;
  /** As the process has it while the volume says nothing. */
  readonly #ownLimit: number;

  constructor(init: XlatorInit<typeof options>) {
    super(init as unknown as XlatorInit);
    this.#values = init.options;
    this.#texts = init.texts;
    this.#port = init.services.port<TransportPort>(transportPortName);
    this.#ownLimit = init.services.inodes.limit;
    const { clock, random, log, metrics } = init.services;
    this.#server = new SessionServer({
      clock,
      random,
      log,
      metrics,
      name: this.name,
      graceMs: this.#values['grace-timeout'] * 1000,
      pingTimeoutMs: this.#values['ping-timeout'] * 1000,
      limits: { outstanding: this.#values['rpc.outstanding-rpc-limit'] || Number.POSITIVE_INFINITY },
      admit: (peer, hello) => this.#admit(peer, hello),
      returns: () => this.#returns,
      run: (fop, call, args, session) => this.#run(fop, call, args, session),
      onSessionEnd: (session) => this.propagate({ type: 'session-ended', clientId: session.clientId }),
    });
  }

  /** Known when the graph is built, hence before the first request. */
  get #returns() {
    const { keeps } = this;
    return { writes: keeps === 'nothing', reads: keeps !== 'all' };
  }

  /** Where it listens, with real port numbers. */
  get addresses(): readonly Address[] {
    return this.#addresses;
  }

  override async init(): Promise<void> {
    this.#boundInodes();
    for (const address of this.#wantedAddresses()) {
      const listener = await this.#server.listen(this.#port.transport, address);
      this.#addresses.push(listener.address);
      this.services.log.write('INFO', this.name, `listening on ${printableAddress(listener.address)}`);
    }
    this.#port.listening?.(this.name, this.#addresses);
  }

  /** Unused inodes that are kept, as `network.inode-lru-limit` says. */
  #boundInodes(): void {
    const { inodes } = this.services;
    const wanted = this.#texts.has('inode-lru-limit') ? this.#values['inode-lru-limit'] : this.#ownLimit;
    if (inodes.limit !== wanted) inodes.limit = wanted;
  }

  #wantedAddresses(): Address[] {
    const path = this.#values['transport.socket.listen-path'];
    const host = this.#values['transport.socket.bind-address'] || this.#anyAddress();
    const types = this.#values['transport-type'].split(',').map((type) => type.trim());
    const wanted: Address[] = [];
    const tls = tlsOfOptions(this.#texts);
    if (types.some((type) => type !== 'unix'))
      wanted.push({ kind: 'tcp', host, port: this.#values['transport.socket.listen-port'], ...(tls && { tls }) });
    if (path !== '') wanted.push({ kind: 'unix', path });
    if (wanted.length === 0) throw new Error(`${this.name}: transport-type unix needs transport.socket.listen-path`);
    return wanted;
  }

  #anyAddress(): string {
    return this.#values['transport.address-family'] === 'inet6' ? '::' : '0.0.0.0';
  }

  /** The subvolume that a client asks for by name or, the first one, by the brick's path. */
  #subvolume(name: string): Subvolume | undefined {
    const named = this.children.find((child) => child.xlator.name === name);
    return named ?? (name !== '' && name === this.#values['auth-path'] ? this.child : undefined);
  }

  async #admit(peer: PeerIdentity, hello: Hello): Promise<Admission | Refusal> {
    if (!this.#subvolume(hello.subvolume))
      return { errno: Errno.ENOENT, reason: `there is no subvolume '${hello.subvolume}' here` };
    const volumeId = volumeIdBelow(this);
    if (hello.volumeId !== '' && volumeId !== undefined && volumeId !== hello.volumeId)
      return { errno: Errno.ESTALE, reason: `this is a brick of volume ${volumeId}, not of ${hello.volumeId}` };
    if (this.#childDown !== null) return { errno: Errno.EAGAIN, reason: `the brick is not ready: ${this.#childDown}` };
    const verdict = await admit(hello.subvolume, peer, hello, {
      texts: this.#texts,
      strict: this.#values['strict-auth-accept'],
      allowInsecure: this.#values['rpc-auth-allow-insecure'],
      addressesOf: (host) => this.#port.addressesOf(host),
      ownAddresses: () => this.#port.ownAddresses?.() ?? ['127.0.0.1'],
    });
    if ('errno' in verdict) return verdict;
    const late = this.#fence.refusalOf(hello);
    if (late !== undefined) return late;
    if (verdict.directory === undefined) return { isTrusted: verdict.isTrusted, features: this.#features() };
    const own = rootCall(this.services.clock);
    const within = await findSubtree(this.#subvolume(hello.subvolume)!, own, verdict.directory);
    return 'errno' in within ? within : { isTrusted: verdict.isTrusted, within, features: [guardedSteps] };
  }

  #features(): readonly string[] {
    const denies = this.#squashes || hasBelow(this, 'features/access-control');
    return denies ? [guardedSteps] : [guardedSteps, lateOpendir];
  }

  #run<N extends FopName>(fop: N, call: Call, args: Args<N>, session: ServerSession): Promise<Reply<N>> {
    const refusal = refusalOf(fop, args as Args<FopName>);
    if (refusal !== 0) return Promise.resolve(fail(refusal));
    const { within } = session;
    if (within === undefined || isOnOpenFiles(fop, args as Args<FopName>, session.fds))
      return this.#wind(fop, call, args, session);
    return this.#runWithin(within, fop, call, args, session);
  }

  async #runWithin<N extends FopName>(
    within: Subtree,
    fop: N,
    call: Call,
    args: Args<N>,
    session: ServerSession,
  ): Promise<Reply<N>> {
    const subvolume = this.#subvolume(session.hello.subvolume)!;
    const own = rootCall(this.services.clock);
    const screened = await confine(subvolume, own, within, session.fds, fop, args as Args<FopName>);
    return typeof screened === 'number' ? fail(screened) : this.#wind(fop, call, screened as Args<N>, session);
  }

  #wind<N extends FopName>(fop: N, call: Call, args: Args<N>, session: ServerSession): Promise<Reply<N>> {
    const down = () => (this.#subvolume(session.hello.subvolume)![fop] as unknown as Fop<N>)(call, args);
    if (call.internal !== undefined) {
      const mayPass = session.isTrusted || !this.#squashes || mayOutsider(fop, args as Args<FopName>);
      return mayPass ? down() : Promise.resolve(fail(Errno.EPERM));
    }
    this.#squash(call);
    const asked = this.#ownGroups(call);
    return asked ? asked.then(down) : down();
  }

  /** Groups as this host has them instead of the client's, with `manage-gids`. A promise while they are looked for. */
  #ownGroups(call: Call): Promise<void> | undefined {
    const { 'manage-gids': manages, 'gid-timeout': seconds, 'all-squash': all } = this.#values;
    if (!manages || all || call.uid === 0) return undefined;
    this.#groups ??= new UserGroups(
      this.services.port<Accounts>(accountsPortName),
      this.services,
      this.name,
      seconds * 1000,
    );
    const groups = this.#groups.of(call.uid);
    if (!(groups instanceof Promise)) {
      call.groups = [...groups];
      return undefined;
    }
    return groups.then((found) => {
      call.groups = [...found];
    });
  }

  get #squashes(): boolean {
    return this.#values['all-squash'] || this.#values['root-squash'];
  }

  #squash(call: Call): void {
    if (!this.#squashes) return;
    const { 'all-squash': all, anonuid, anongid } = this.#values;
    if (all || call.uid === 0) call.uid = anonuid;
    if (all || call.gid === 0) call.gid = anongid;
    call.groups = all ? [] : call.groups.map((group) => (group === 0 ? anongid : group));
  }

  override notify(event: GraphEvent, from: Xlator | null): void {
    if (event.type === 'upcall') {
      const { clientId, except, ...upcall } = event;
      for (const session of this.#server.sessions())
        if (clientId === undefined ? session.clientId !== except : session.clientId === clientId)
          session.sendUpcall(upcall);
      if (event.what === 'lock-contended' && clientId !== undefined) void this.#watchHolder(clientId);
    } else if (event.type === 'child-down') this.#childFell(from);
    else if (event.type === 'child-connecting') this.#childDown = `${from?.name ?? 'a subvolume'} is connecting`;
    else if (event.type === 'child-up') this.#childDown = null;
    super.notify(event, from);
  }

  /** Others wait for what a client holds: they need not wait until its session ends if it has gone. */
  async #watchHolder(clientId: string): Promise<void> {
    const timeoutMs = this.#values['silent-holder-timeout'] * 1000;
    const session = this.#server.sessionOf(clientId);
    if (!session || timeoutMs === 0 || this.#watched.has(session)) return;
    this.#watched.add(session);
    const isAlive = await session.isAlive(timeoutMs);
    this.#watched.delete(session);
    if (!isAlive && !session.isEnded) this.propagate({ type: 'session-silent', clientId });
  }

  /** Clients must not wait for a disk that is gone. */
  #childFell(from: Xlator | null): void {
    this.#childDown = `${from?.name ?? 'a subvolume'} is down`;
    for (const session of this.#server.sessions()) this.#server.endSession(session, this.#childDown);
  }

  override reconfigure(values: Values, texts: ReadonlyMap<string, string>): void {
    this.#values = values;
    this.#texts = texts;
    this.#server.limits.outstanding = values['rpc.outstanding-rpc-limit'] || Number.POSITIVE_INFINITY;
    this.#boundInodes();
    if (this.#groups) this.#groups.lifetimeMs = values['gid-timeout'] * 1000;
    if (values['dynamic-auth']) void this.#checkAgain();
  }

  async #checkAgain(): Promise<void> {
    for (const session of this.#server.sessions()) {
      const verdict = await this.#admit(session.peer, session.hello);
      if ('errno' in verdict) this.#server.endSession(session, verdict.reason);
      else if (verdict.within?.gfid !== session.within?.gfid)
        this.#server.endSession(session, 'it may use another part of the volume now');
    }
  }

  override async fini(): Promise<void> {
    await this.#server.close();
  }

  /** Files move by this placement from now on; false: a client goes by another one, and nothing changes. */
  fencePlacement(placement: string, version: number): boolean {
    return this.#fence.set(this.#server.sessions(), placement, version);
  }

  /** A table for each client that has files open, for `volume status V fd`. */
  fdTables() {
    return this.#server.sessions().map(({ fds, hello }) => ({
      refcount: 1,
      maxFds: fds.max,
      firstFree: fds.size,
      entries: [...fds.all()].map(([fd, { flags }]) => ({ fd, pid: hello.processId, refcount: 1, flags })),
    }));
  }

  /** One entry for each descriptor that a client has open. */
  openFiles(): Gfid[] {
    return this.#server.sessions().flatMap(({ fds }) => [...fds.all()].map(([, { gfid }]) => gfid));
  }

  /** Requests that are under way, for `volume status V callpool`. */
  calls() {
    const frame = (fop: string) => `translator = ${this.name}, fop = ${fop}`;
    return this.#server
      .sessions()
      .flatMap((session) =>
        session
          .calls()
          .map(({ sequence, fop, uid, gid, pid }) => ({ uid, gid, pid, unique: sequence, frames: [frame(fop)] })),
      );
  }

  override dump(): Record<string, string | number | boolean> {
    const sessions = this.#server.sessions();
    const dump: Record<string, string | number | boolean> = {
      'server.total-clients': sessions.length,
      'server.addresses': this.#addresses.map(printableAddress).join(' '),
    };
    sessions.forEach((session, i) => {
      const { stats, hello, peer } = session;
      const prefix = `server.client[${i}]`;
      dump[`${prefix}.id`] = hello.clientId;
      dump[`${prefix}.program`] = hello.program;
      dump[`${prefix}.address`] = peer.kind === 'tcp' ? `${peer.address}:${peer.port}` : peer.address;
      dump[`${prefix}.connected`] = session.isConnected;
      dump[`${prefix}.subvolume`] = hello.subvolume;
      dump[`${prefix}.directory`] = session.within?.path ?? '/';
      dump[`${prefix}.host`] = clientName(session).host;
      dump[`${prefix}.process-id`] = hello.processId;
      dump[`${prefix}.placement`] = hello.placement ?? '';
      dump[`${prefix}.op-version`] = hello.opVersion;
      dump[`${prefix}.bytes-received`] = stats.bytesReceived ?? 0;
      dump[`${prefix}.bytes-sent`] = stats.bytesSent ?? 0;
      dump[`${prefix}.running`] = stats.running;
      dump[`${prefix}.open-fds`] = stats.fds;
      dump[`${prefix}.outcomes`] = stats.outcomes;
    });
    return dump;
  }
}

function hasBelow(xlator: Xlator, type: string): boolean {
  return xlator.children.some(({ xlator: child }) => child.type === type || hasBelow(child, type));
}

/** The volume that the brick belongs to, as its storage is told. */
function volumeIdBelow(xlator: Xlator): string | undefined {
  for (const { xlator: child } of xlator.children) {
    const found = child.texts.get('volume-id') ?? volumeIdBelow(child);
    if (found !== undefined) return found;
  }
  return undefined;
}

export const xlator: XlatorType<typeof options> = {
  type: 'protocol/server',
  description: 'Serves its subvolumes to clients.',
  options,
  subvolumes: { min: 1, max: Number.POSITIVE_INFINITY },
  // Nothing stands above it: its fops come over the network and go to the subvolume that the client asked for.
  fops: stances('refuses', {}),
  keeps: 'nothing',
  create: (init) => new ProtocolServer(init),
};
