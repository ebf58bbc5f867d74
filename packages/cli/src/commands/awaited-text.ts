/** Clients that a rebalance or a remove-brick waits for, and what to do about them. GlusterFS has nothing of it. */
import type { AwaitedData, TaskData } from '@mortar/glusterd/protocol/replies.ts';
import type { Session } from '../session.ts';
import { type Element, element } from '../xml.ts';

/** So many are named. */
const namesMax = 8;

/** One line below the table; empty: nobody is waited for. */
export function awaitedLine({ kind }: TaskData, awaited: readonly AwaitedData[] | undefined): string {
  if (!awaited || awaited.length === 0) return '';
  const names = awaited
    .slice(0, namesMax)
    .map(({ program, host, processId, seconds }) => `${program} on ${host}, pid ${processId} (for ${seconds} s)`);
  if (awaited.length > namesMax) names.push(`${awaited.length - namesMax} more`);
  const force = kind === 'rebalance' ? ', or stop this and rebalance with start force, which leaves it behind' : '';
  return `Waiting for clients that still work with other bricks : ${names.join('; ')}. Unmount what does not answer${force}.\n`;
}

/** Of `--json` only: a document of `--xml` is GlusterFS's. */
export function awaitedElements({ flags }: Session, awaited: readonly AwaitedData[] = []): Element[] {
  if (!flags.json || awaited.length === 0) return [];
  const clients = awaited.map(({ program, host, processId, seconds }) =>
    element('awaitedClient', [
      element('program', program),
      element('host', host),
      element('pid', processId),
      element('seconds', seconds),
    ]),
  );
  return [element('awaitedClients', clients)];
}
