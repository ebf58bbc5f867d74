/** What this node answers to the command line, to clients and to bricks (docs/management.md has the list). */

import { createHash } from 'node:crypto';
import { Errno } from '@mortar/core';
import { type ManagementCaller, type ManagementContext, ManagementError, type ManagementServer } from '@mortar/rpc';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { commandSchema } from '../protocol/requests.ts';
import { VolgenError } from '../volgen/index.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { announceBrick } from './brick-started.ts';
import { runCommand } from './commands.ts';
import { asEdited } from './edited-volfile.ts';
import type { VolfileListener } from './volfiles.ts';

const path = z.string().min(1).max(4096);
const idSchema = z.object({ id: z.string().min(1).max(4096) });
const pid = z.int().min(1);
const port = z.int().min(0).max(65535);

export function addMethods(server: ManagementServer, context: Context): void {
  const listeners = new WeakMap<ManagementCaller, VolfileListener>();

  server.method('cli.command', commandSchema, ({ request, line }, { caller }) => {
    // Over TCP anyone could come; GlusterFS lets such callers look, nothing more is needed.
    if (!caller.peer.isLocalRoot && !isReadOnly(request.verb))
      throw new ManagementError('EACCES', 'only root on this machine may change volumes', { errno: Errno.EACCES });
    return runCommand(context, request, line);
  });

  server.method('volfile.get', idSchema, async ({ id }, call) => {
    const made = volfileText(context, id, call);
    const volume = context.volfiles.volumeOf(id);
    watch(context, listeners, id, made, call);
    const text = await asEdited(context, id, isTrusted(context, call), made);
    // Daemons of a node have only their own glusterd.
    const servers = context.volfiles.isClientId(id) ? { servers: otherServers(context) } : {};
    return { text, checksum: checksum(text), ...volume, ...servers };
  });

  server.method('volfile.watch', idSchema, async ({ id }, call) => {
    const made = volfileText(context, id, call);
    watch(context, listeners, id, made, call);
    return { checksum: checksum(await asEdited(context, id, isTrusted(context, call), made)) };
  });

  server.method('volfile.unwatch', idSchema, ({ id }, { caller }) => {
    const listener = listeners.get(caller);
    if (listener) context.volfiles.unwatch(listener, id);
    return {};
  });

  server.method('portmap.brickPort', z.object({ brick: path }), async ({ brick }) => brickPort(context, brick));

  const signIn = z.object({ brick: path, port, pid, socketPath: z.string().max(108).default('') });
  server.method('portmap.signin', signIn, async ({ brick, ...said }, { caller }) => {
    requireLocal(caller);
    const found = localBrick(context, brick);
    if (!(await context.supervisor.signIn(found.volume, found.brick, said)))
      throw new ManagementError('EACCES', `process ${said.pid} is not the brick ${brick} that was started here`);
    tellOfBrick(context, 'BRICK_CONNECTED', found);
    announceBrick(context, found.volume.name);
    caller.onClose(() => void disconnected(context, found, said.pid));
    return {};
  });

  server.method(
    'portmap.signout',
    z.object({ brick: path, port: port.optional(), pid }),
    ({ brick, pid }, { caller }) => {
      requireLocal(caller);
      context.supervisor.signOut(brick, pid);
      return {};
    },
  );

  server.method('node.info', z.unknown(), () => ({
    uuid: context.store.state.node.uuid,
    opVersion: context.store.state.node.opVersion,
    runDirectory: context.directories.run,
    logDirectory: context.directories.log,
  }));
}

/** Verbs that change nothing; they are open to `--remote-host`. */
function isReadOnly(verb: string): boolean {
  return [
    'volume.info',
    'volume.list',
    'volume.status',
    'volume.get',
    'peer.status',
    'pool.list',
    'volume.set.help',
    'system.fsm.log',
    'system.lock.show',
  ].includes(verb);
}

function requireLocal(caller: ManagementCaller): void {
  if (!caller.peer.isLocal) throw new ManagementError('EACCES', 'only bricks of this machine sign in here');
}

/** Local processes get user name and password; others must be allowed by their address. */
function isTrusted(context: Context, { caller }: ManagementContext): boolean {
  const { peer } = caller;
  if (peer.isLocal || peer.kind === 'unix') return true;
  const { pool, store } = context;
  return [...store.state.peers.values()].some((member) =>
    (pool?.addresses.knownAddressesOf(member) ?? new Set(member.hostnames)).has(peer.address),
  );
}

function volfileText(context: Context, id: string, call: ManagementContext): string {
  const trusted = isTrusted(context, call);
  const isClient = context.volfiles.isClientId(id);
  if (!trusted && !isClient) throw new ManagementError('EACCES', `${id} is for processes of the pool only`);
  const text = madeText(context, id, trusted);
  if (text !== null) return text;
  throw new ManagementError('ENOENT', `there is no volume or brick '${id}' on this node`, { errno: Errno.ENOENT });
}

/** A volume that this build cannot run has no volfile; the reason is the answer. */
function madeText(context: Context, id: string, trusted: boolean): string | null {
  try {
    return context.volfiles.text(id, trusted);
  } catch (error) {
    if (error instanceof VolgenError) throw new ManagementError('EVOLGEN', error.message);
    throw error;
  }
}

function watch(
  context: Context,
  listeners: WeakMap<ManagementCaller, VolfileListener>,
  id: string,
  text: string,
  call: ManagementContext,
): void {
  const { caller } = call;
  let listener = listeners.get(caller);
  if (!listener) {
    const own: VolfileListener = {
      caller,
      changed: (changedId) => caller.notify('volfile.changed', { id: changedId }),
      brickStarted: (volume) => caller.notify('brick.started', { volume }),
    };
    listeners.set(caller, own);
    caller.onClose(() => context.volfiles.unwatch(own));
    listener = own;
  }
  context.volfiles.watch(listener, id, isTrusted(context, call), text);
}

/** Where a client finds its volfile, and hears that it changes, when this node is away. */
function otherServers({ store }: Context): string[] {
  return [...store.state.peers.values()].map(({ hostnames }) => hostnames[0]!);
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

interface Found {
  volume: VolumeInfo;
  brick: BrickInfo;
}

function localBrick(context: Context, brickPath: string): Found {
  const { uuid } = context.store.state.node;
  for (const volume of context.store.state.volumes.values())
    for (const brick of volume.bricks)
      if (brick.hostUuid === uuid && brick.path === brickPath) return { volume, brick };
  throw new ManagementError('ENOENT', `there is no brick ${brickPath} on this node`, { errno: Errno.ENOENT });
}

/** Long enough for a process that ends in good order to be gone. */
const farewellMs = 500;

/** The connection of a brick is gone: with the brick, or only with this glusterd. */
function tellOfBrick({ events }: Context, event: 'BRICK_CONNECTED' | 'BRICK_DISCONNECTED', found: Found): void {
  events?.emit(event, { peer: found.brick.host, volume: found.volume.name, brick: found.brick.path });
}

async function disconnected(context: Context, { volume, brick }: Found, pid: number): Promise<void> {
  context.supervisor.signOut(brick.path, pid);
  context.log.write('INFO', 'management', `brick ${brick.path} (pid ${pid}) has disconnected`);
  await context.clock.sleep(farewellMs);
  const now = context.store.state.volumes.get(volume.name);
  if (now?.status !== 'started') return;
  const { online } = await context.supervisor.brickState(now, brick);
  if (online) return;
  tellOfBrick(context, 'BRICK_DISCONNECTED', { volume, brick });
  context.log.write(
    'ERROR',
    'management',
    `brick ${brick.host}:${brick.path} of volume ${now.name} has ended unasked; see its log, and start the volume with force`,
  );
}

async function brickPort(context: Context, brickPath: string) {
  const { volume, brick } = localBrick(context, brickPath);
  const { online, port } = await context.supervisor.brickState(volume, brick);
  const socketPath = context.supervisor.record(brickPath)?.socketPath ?? '';
  return { port: online ? port : 0, socketPath: online ? socketPath : '', online };
}
