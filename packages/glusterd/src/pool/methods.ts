/** What a node answers its peers, and those who want it for one. */
import { isIP } from 'node:net';
import { type ManagementContext, ManagementError, type ManagementServer } from '@mortar/rpc';
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { maxOpVersion } from '../store/documents.ts';
import { ballotSchema, credentials, type HelloReply, joinSchema, lockSchema, proposalSchema } from './messages.ts';
import type { PoolService } from './service.ts';
import { type SiteCallName, siteCalls } from './site-calls.ts';
import type { Proposal } from './types.ts';

type Credentials = z.infer<typeof credentials>;

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

  server.method('pool.join', joinSchema, async ({ pool: id, from, opVersion, changes }) => {
    const members = new Map(changes.documents.map(({ key, value }) => [key, value]));
    const { uuid } = store.state.node;
    if (!members.get(`peer/${from}`) || !members.get(`peer/${uuid}`) || from === uuid)
      throw new ManagementError('EACCES', 'the pool does not have this node and who asks as members');
    try {
      await pool.join(id, opVersion, changes as Parameters<PoolService['join']>[2]);
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
  ): void => {
    server.method(name, credentials.extend(schema.shape), async (params, call) => {
      await requireMember(context, pool, params as Credentials, call);
      try {
        return await run(params as z.infer<S>, call);
      } catch (error) {
        throw asRefusal(error);
      }
    });
  };

  forMembers('pool.lock', lockSchema, ({ ballot, operation, lifeMs }) =>
    pool.ownMember.lock(ballot, operation, lifeMs),
  );
  forMembers('pool.accept', z.object({ proposal: proposalSchema }), ({ proposal }) =>
    pool.ownMember.accept(proposal as Proposal),
  );
  forMembers('pool.learn', z.object({ proposal: proposalSchema }), async ({ proposal }) => {
    await pool.ownMember.learn(proposal as Proposal);
    // Whoever decided does not wait for processes here.
    void pool.learned();
    return {};
  });
  forMembers('pool.unlock', z.object({ ballot: ballotSchema }), async ({ ballot }) => {
    await pool.ownMember.unlock(ballot);
    return {};
  });
  forMembers('pool.changes', z.object({ since: z.int().min(0) }), ({ since }) => pool.ownMember.changes(since));

  // Asked also by those who are members no more.
  server.method('pool.standing', credentials, ({ pool: id, from }) => {
    const { node, peers } = store.state;
    if (node.pool !== id) throw new ManagementError('EACCES', 'this node is of another pool');
    return { isMember: peers.has(from), version: pool.version };
  });

  forMembers('pool.leave', z.object({}), async (params, _call) => {
    await pool.leave(pool.nameOf((params as unknown as Credentials).from));
    return {};
  });

  for (const name of Object.keys(siteCalls) as SiteCallName[]) {
    const call = siteCalls[name];
    forMembers(`site.${name}`, call.params, async (params) =>
      (call.run as (context: Context, params: unknown) => Promise<unknown>)(context, params),
    );
  }
}

function asRefusal(error: unknown): unknown {
  if (!(error instanceof OperationError)) return error;
  return new ManagementError(error.code, error.message, { errno: error.errno });
}

/** Who says it is a member must know the pool's id and come from one of the member's addresses. */
async function requireMember(
  { store, log }: Context,
  pool: PoolService,
  { pool: id, from }: Credentials,
  { caller }: ManagementContext,
): Promise<void> {
  const { node } = store.state;
  const peer = pool.others().find((other) => other.uuid === from);
  const { address } = caller.peer;
  if (node.pool === id && peer) {
    if (pool.addresses.knownAddressesOf(peer).has(address)) return;
    if ((await pool.addresses.addressesOf(peer)).has(address)) return;
  }
  log.write('WARNING', 'management', `${address} says that it is peer ${from}, and is not believed`);
  throw new ManagementError('EACCES', 'only members of this pool may ask that');
}
