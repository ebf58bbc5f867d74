/**
 * A change of the pool's state: lock, stage (checks on every participant, changes nothing), commit (does it), unlock.
 * In a pool of several nodes all of it happens under the cluster lock, and commits go by agreement (docs/pool.md).
 */
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { commitQuietly } from '../operations/volumes.ts';
import { outvoted } from '../pool/errors.ts';
import type { Change } from '../store/documents.ts';

export interface Operation<Plan, Result> {
  /** `volume create`, for the log, the history and who waits for the lock. */
  readonly name: string;
  /** The volume, or `all`. */
  readonly subject: string;
  /** Checks; throws OperationError. What it finds out is handed to the commit. */
  stage(context: Context): Promise<Plan>;
  commit(context: Context, plan: Plan): Promise<Result>;
}

export async function execute<Plan, Result>(context: Context, operation: Operation<Plan, Result>): Promise<Result> {
  const { locks, store, log } = context;
  const holder = locks.take(operation.subject, store.state.node.uuid, operation.name);
  try {
    const run = async (own: Context) => operation.commit(own, await operation.stage(own));
    const { pool } = context;
    if (!pool || pool.id === null) {
      const propose = async (change: Change) => {
        if (!locks.isHeld(operation.subject, holder)) throw outvoted(false);
        await commitQuietly(context, change);
      };
      return await run({ ...context, propose });
    }
    const volume = store.state.volumes.get(operation.subject);
    if (volume && !pool.quorum.isMetFor(volume))
      throw new OperationError('Quorum not met. Volume operation not allowed.');
    const name = `${operation.name} ${operation.subject}`;
    return await pool.transact(name, (propose) => run({ ...context, propose }));
  } catch (error) {
    const level = error instanceof OperationError ? 'WARNING' : 'ERROR';
    log.write(level, 'management', `${operation.name} of ${operation.subject} failed: ${(error as Error).message}`);
    throw error;
  } finally {
    locks.release(operation.subject, holder);
  }
}
