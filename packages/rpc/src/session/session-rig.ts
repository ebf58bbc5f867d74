/** For tests: a client's session with a brick, over a transport in memory whose link can be held or cut. */
import { type Args, type Call, emptyIatt, Fd, type FopName, locOf, type Reply, rootGfid } from '@mortar/core';
import type { Address } from '../stream.ts';
import { CountingMetrics, LinesLog, ManualClock, seededRandom, settle, someCall } from '../test-rig.ts';
import { type MemoryPolicy, MemoryTransport } from '../transports/memory.ts';
import { ClientSession } from './client.ts';
import type { ClientSessionOptions } from './client-options.ts';
import { SessionServer, type SessionServerOptions } from './server.ts';
import type { ServerSession } from './server-session.ts';

const address: Address = { kind: 'memory', name: 'brick' };
export const root = locOf(rootGfid);
export const iatts = { written: 4, pre: emptyIatt(), post: emptyIatt() };

type Run = (fop: FopName, call: Call, args: Args<FopName>, session: ServerSession) => Promise<Reply<FopName>>;

export interface World {
  clock: ManualClock;
  transport: MemoryTransport;
  server: SessionServer;
  client: ClientSession;
  events: string[];
  ended: string[];
  metrics: CountingMetrics;
  log: LinesLog;
  ids: Map<Fd, number>;
  /** What the brick did, in order. */
  ran: string[];
  run: { now: Run };
  /** While true, bytes from the brick to the client stay on the way. */
  link: { holdReplies: boolean; holdAll: boolean };
  cut(): Promise<void>;
  /** What was held arrives. */
  deliver(): Promise<void>;
}

export async function world(
  options: { server?: Partial<SessionServerOptions>; client?: Partial<ClientSessionOptions> } = {},
): Promise<World> {
  const clock = new ManualClock();
  const metrics = new CountingMetrics();
  const log = new LinesLog();
  const link = { holdReplies: false, holdAll: false };
  const held: (() => void)[] = [];
  const policy: MemoryPolicy = {
    transfer: (from, _bytes, deliver) => {
      const isReply = !transport.links.has(from);
      if (link.holdAll || (isReply && link.holdReplies)) held.push(deliver);
      else queueMicrotask(deliver);
    },
  };
  const transport = new MemoryTransport(policy);
  const ran: string[] = [];
  const ended: string[] = [];
  const events: string[] = [];
  const run: { now: Run } = { now: async () => ({ ok: true, ...iatts }) as unknown as Reply<FopName> };
  const server = new SessionServer({
    clock,
    random: seededRandom(2),
    metrics,
    log,
    name: 'server',
    admit: () => ({ isTrusted: false }),
    run: (fop, call, args, session) => {
      ran.push(fop);
      return run.now(fop, call, args as Args<FopName>, session) as never;
    },
    onSessionEnd: (session) => ended.push(session.clientId),
    ...options.server,
  });
  await server.listen(transport, address);
  const ids = new Map<Fd, number>();
  const client = new ClientSession({
    clock,
    random: seededRandom(3),
    metrics,
    log,
    name: 'client',
    transport,
    resolve: async () => address,
    identity: {
      program: 'test',
      processId: 1,
      clientId: 'client-1',
      subvolume: 'b1',
      volumeId: '',
      subdirectory: '',
      user: '',
      password: '',
      opVersion: 0,
    },
    fds: { idOf: (fd) => ids.get(fd) ?? 0, opened: (fd, id) => void ids.set(fd, id) },
    events: {
      attached: (welcome) => void events.push(welcome.resumed ? 'resumed' : 'new'),
      up: () => void events.push('up'),
      down: () => void events.push('down'),
      upcall: (upcall) => void events.push(`upcall ${upcall.what}`),
    },
    ...options.client,
  });
  client.start();
  await settle();
  const deliver = async () => {
    for (const arrive of held.splice(0)) arrive();
    await settle();
  };
  const cut = async () => {
    for (const stream of transport.links) stream.cut();
    transport.links.clear();
    await settle();
  };
  return { clock, transport, server, client, events, ended, metrics, log, ids, ran, run, link, cut, deliver };
}

export const write = (client: ClientSession, text = 'data', call: Call = someCall) =>
  client.fop('writev', call, { fd: new Fd(rootGfid, 2), offset: 0, data: Buffer.from(text) });

export function flock(type: 'read' | 'write' | 'unlock') {
  return { type, start: 0, length: 0, owner: '00', pid: 1 };
}
