/** What people are told when the pool cannot agree. */
import { OperationError } from '../errors.ts';
import type { LockInfo } from './types.ts';

/** A member refuses a request that is not for its pool, breaks the rules or is out of bounds. */
export class PoolError extends Error {
  readonly code = 'EPOOL';
}

/**
 * A change was proposed and it is not known whether it is made: who takes the lock next finds out and finishes it, or not.
 * What was done for it on nodes must therefore stay until then.
 */
export class UndecidedError extends OperationError {}

export function lockTaken({ node, operation, ageMs }: LockInfo): OperationError {
  return new OperationError(
    'Another transaction is in progress for the cluster. Please try again after some time. ' +
      `(${operation} by node ${node}, for ${Math.round(ageMs / 1000)} s)`,
  );
}

function awayText(members: number, away: readonly string[]): string {
  return (
    `No majority of the pool can be reached: ${members - away.length} of ${members} members answer. ` +
    `Away: ${away.join(', ')}.`
  );
}

export function noMajority(members: number, away: readonly string[]): OperationError {
  return new OperationError(`${awayText(members, away)} Nothing was changed.`);
}

export function undecided(members: number, away: readonly string[]): UndecidedError {
  return new UndecidedError(`${awayText(members, away)} Whether the change is made is seen when a majority is back.`);
}

export function outvoted(proposed: boolean): OperationError {
  const text = 'The cluster lock of this operation was broken or expired, and another operation has taken over.';
  return proposed
    ? new UndecidedError(`${text} Look whether the change was made before you repeat it.`)
    : new OperationError(`${text} Nothing was changed.`);
}

export function contended(): OperationError {
  return new OperationError('Other nodes change the pool at the same time. Please try again after some time.');
}

export function removedFromPool(): OperationError {
  return new OperationError('This node is not in the pool any more.');
}
