/** What a node answers its peers, and those who want it for one. */
import { isIP } from 'node:net';
import { ManagementCode, type ManagementContext, ManagementError, type ManagementServer } from '@mortar/rpc';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { maxOpVersion } from '../store/documents.ts';
import { PoolError } from './errors.ts';
import { LateLocks } from './late-locks.ts';
import { type Credentials, credentials, type HelloReply, joinSchema } from './messages.ts';
import { memberCallNames } from './parts.ts';
import type { PoolService } from './service.ts';
import { bricksHere, type SiteCallName, type SiteParams, siteCalls } from './site-calls.ts';
import { type Unagreed, unagreedBrick, unagreedTask } from './unagreed.ts';

export function addPoolMethods(server: ManagementServer, context: Context, pool: PoolService): void {
  const { store } = context;

  server.method('pool.hello', z.unknown(), async (_params, { caller }): Promise<HelloReply> => {
    const { address } = caller.peer;
    return {
      uuid: store.state.node.uuid,
      opVersion: store.state.node.opVersion,
      maxOpVersion,
      isMember: pool.isShared,
      hasVolumes: store.state.volumes.size > 0,
      you: { name: isIP(address) === 0 ? address : await pool.addresses.nameOf(address), address },
    };
  });

  server.method('pool.join', joinSchema, async ({ pool: id, from, opVersion }, { caller }) => {
    if (from === store.state.node.uuid) throw new ManagementError('EACCES', 'this is the same node');
    try {
      await pool.join(id, { uuid: from, host: caller.peer.address }, opVersion);
    } catch (error) {
      throw asRefusal(error);
    }
    return {};
  });

  /** A method for members only. */
  const forMembers = <S extends z.ZodObject>(
    name: string,
    schema: S,
    run: (params: z.infer<S>, call: ManagementContext) => unknown,
    isOpen: (pool: string) => boolean = () => false,
  ): void => {
    server.method(name, credentials.extend(schema.shape), async (params, call) => {
      if (!isOpen((params as Credentials).pool)) await requireMember(context, pool, params as Credentials, call);
      try {
        return await run(params as z.infer<S>, call);
      } catch (error) {
        throw asRefusal(error);
      }
    });
  };

  const lateLocks = new LateLocks((id, ballot) => void pool.answer(id, 'unlock', { ballot }).catch(() => undefined));

  for (const name of memberCallNames)
    forMembers(
      `pool.${name}`,
      z.object({ params: z.unknown() }),
      async (said, { caller }) => {
        const { pool: id } = said as unknown as Credentials;
        const answer = (await pool.answer(id, name, said.params)) ?? {};
        if (name === 'lock') lateLocks.taken(caller, id, (said.params as { ballot: unknown }).ballot);
        return answer;
      },
      // Of a pool that this node has left it tells who was there, and only since when.
      (id) => name === 'changes' && pool.hasLeft(id),
    );

  // Asked also by those who are members no more.
  server.method('pool.standing', credentials, ({ pool: id, from }) => {
    const { peers } = store.state;
    if (pool.id !== id) throw new ManagementError('EACCES', 'this node is of another pool');
    return { isMember: peers.has(from), version: pool.version };
  });

  forMembers('pool.leave', z.object({ version: z.int().min(0) }), async (said) => {
    const { pool: id, from } = said as unknown as Credentials;
    await pool.dismissed(id, said.version, pool.nameOf(from));
    return {};
  });

  for (const name of Object.keys(siteCalls) as SiteCallName[]) {
    const call = siteCalls[name];
    forMembers(`site.${name}`, call.params, async (params, { caller }) => {
      try {
        return await (call.run as (context: Context, params: unknown) => Promise<unknown>)(context, params);
      } finally {
        pool.unagreed.started(caller, startedBy(context, name, params));
      }
    });
  }
}

/** The processes that a site call starts. */
function startedBy(context: Context, name: SiteCallName, params: unknown): Unagreed[] {
  if (name === 'startTask') return [unagreedTask(context, (params as SiteParams<'startTask'>).volume)];
  if (name !== 'startBricks') return [];
  const { volume, bricks } = params as SiteParams<'startBricks'>;
  return bricksHere(context, volume, bricks).map((brick) => unagreedBrick(context, volume, brick));
}

function asRefusal(error: unknown): unknown {
  if (error instanceof PoolError) return new ManagementError(error.code, error.message);
  if (error instanceof z.ZodError) return new ManagementError(ManagementCode.badParams, z.prettifyError(error));
  if (!(error instanceof OperationError)) return error;
  return new ManagementError(error.code, error.message, { errno: error.errno });
}

/** Who says it is a member must know the pool's id and come from one of the member's addresses. */
async function requireMember(
  { log }: Context,
  pool: PoolService,
  { pool: id, from }: Credentials,
  { caller }: ManagementContext,
): Promise<void> {
  const peer = pool.others().find((other) => other.uuid === from);
  const { address } = caller.peer;
  if (pool.id === id && peer) {
    if (pool.addresses.knownAddressesOf(peer).has(address)) return;
    if ((await pool.addresses.addressesOf(peer)).has(address)) return;
  }
  log.write('WARNING', 'management', `${address} says that it is peer ${from}, and is not believed`);
  throw new ManagementError('EACCES', 'only members of this pool may ask that');
}
