/** Operations reach the nodes of their bricks through here; with one node nothing goes over the network. */

import { ManagementError } from '@mortar/rpc/management/protocol.ts';
import type { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import type { BrickInfo } from '../volume.ts';
import { type SiteCallName, type SiteParams, type SiteResult, siteCalls } from './site-calls.ts';

/** Runs a site call on a node. A peer's refusal is an OperationError; so is one that cannot be reached. */
export async function onSite<N extends SiteCallName>(
  context: Context,
  node: string,
  name: N,
  params: SiteParams<N>,
  /** Less than the call may take. */
  patienceMs = Number.POSITIVE_INFINITY,
): Promise<SiteResult<N>> {
  const { run, result, timeoutMs } = siteCalls[name];
  if (node === context.store.state.node.uuid)
    return (await (run as (context: Context, params: unknown) => Promise<unknown>)(context, params)) as SiteResult<N>;
  const { pool } = context;
  if (!pool?.isConnected(node)) throw new OperationError(`Host ${pool?.nameOf(node) ?? node} not connected`);
  try {
    const answer = await pool.ask(
      node,
      `site.${name}`,
      params as Record<string, unknown>,
      Math.min(timeoutMs, patienceMs),
    );
    return (result as z.ZodType).parse(answer) as SiteResult<N>;
  } catch (error) {
    if (error instanceof ManagementError && error.code === 'EOPERATION') throw new OperationError(error.message);
    context.log.write('WARNING', 'management', `site.${name} of ${pool.nameOf(node)}: ${(error as Error).message}`);
    throw new OperationError(`Host ${pool.nameOf(node)} does not answer: ${(error as Error).message}`);
  }
}

/** Bricks by the other nodes that have them. Those of a foreign, adopted pool belong to nobody. */
export function bricksElsewhere(context: Context, bricks: readonly BrickInfo[]): Map<string, BrickInfo[]> {
  const members = new Set(context.pool?.others().map(({ uuid }) => uuid));
  const found = new Map<string, BrickInfo[]>();
  for (const brick of bricks)
    if (members.has(brick.hostUuid)) found.set(brick.hostUuid, [...(found.get(brick.hostUuid) ?? []), brick]);
  return found;
}

/** Each node that can be reached does its part; what others fail at is left out and logged. */
export async function gather<T>(
  context: Context,
  bricks: readonly BrickInfo[],
  ask: (node: string, own: readonly BrickInfo[]) => Promise<T>,
): Promise<T[]> {
  const parts = [...bricksElsewhere(context, bricks)].map(async ([node, own]) => {
    if (!context.pool?.isConnected(node)) return [];
    try {
      return [await ask(node, own)];
    } catch (error) {
      context.log.write('WARNING', 'management', `${context.pool.nameOf(node)}: ${(error as Error).message}`);
      return [];
    }
  });
  return (await Promise.all(parts)).flat();
}

/** Each other node that can be reached; what others fail at is left out and logged (by `onSite`). */
export async function gatherFromAll<N extends SiteCallName>(
  context: Context,
  name: N,
  params: SiteParams<N>,
): Promise<SiteResult<N>[]> {
  const { pool } = context;
  const parts = (pool?.others() ?? []).map(async ({ uuid }) => {
    if (!pool?.isConnected(uuid)) return [];
    try {
      return [await onSite(context, uuid, name, params)];
    } catch (error) {
      if (error instanceof OperationError) return [];
      throw error;
    }
  });
  return (await Promise.all(parts)).flat();
}

/** The first in the order of `bricks` that fails decides what is said. */
export async function onAllSites<T>(
  context: Context,
  bricks: readonly BrickInfo[],
  ask: (node: string, own: readonly BrickInfo[]) => Promise<T>,
): Promise<T[]> {
  const results = await Promise.allSettled([...bricksElsewhere(context, bricks)].map(([node, own]) => ask(node, own)));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}
