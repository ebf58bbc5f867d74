/** Whom a rebalance process waits for, as its glusterd tells it (docs/distribute.md, Waiting for clients). */
import type { Xlator } from '@mortar/core';
import { ManagementError } from '@mortar/rpc';
import { ManagementCode } from '@mortar/rpc/management/protocol.ts';
import type { Distribute } from '@mortar/xlators/cluster/distribute/distribute.ts';
import { type Census, LateClients } from '@mortar/xlators/cluster/distribute/late-clients.ts';
import type { RebalanceKind } from '@mortar/xlators/cluster/distribute/rebalance.ts';
import { z } from 'zod';
import type { Host } from '../host.ts';
import type { ManagementLink } from '../management/link.ts';

const askTimeoutMs = 30_000;
const nobody: Census = { late: [], isClear: true, unasked: [] };

const census = z.object({
  late: z.array(z.object({ program: z.string(), host: z.string(), processId: z.number() })),
  isClear: z.boolean(),
  unasked: z.array(z.string()),
});

/** `link`: absent where the volfile is a file, and nobody can be asked. */
export function lateClientsOf(
  { services }: Host,
  link: ManagementLink | undefined,
  d: Distribute,
  kind: RebalanceKind,
): LateClients | undefined {
  const { clock, log } = services;
  const say = (text: string) => log.write('WARNING', d.name, `rebalance: clients are not waited for: ${text}`);
  const client = clientBelow(d);
  const placement = client?.texts.get('placement');
  const volumeId = client?.texts.get('volume-id');
  if (!link || placement === undefined || volumeId === undefined) {
    say('the volfile does not come from glusterd, so that it cannot be asked for them');
    return undefined;
  }
  const leavesBehind = kind === 'force';
  const version = Number(client?.texts.get('placement-version') ?? 0);
  let isOlder = false;
  const ask = async () => {
    if (isOlder) return nobody;
    try {
      const asked = { volumeId, placement, version, fence: !leavesBehind };
      return census.parse(await link.call('rebalance.clients', asked, { timeoutMs: askTimeoutMs }));
    } catch (error) {
      if (!(error instanceof ManagementError) || error.code !== ManagementCode.noMethod) throw error;
      isOlder = true;
      say('glusterd is an older one, and cannot tell them; start it anew');
      return nobody;
    }
  };
  return new LateClients({ clock, log, name: d.name, ask, leavesBehind });
}

function clientBelow(xlator: Xlator): Xlator | undefined {
  for (const { xlator: child } of xlator.children) {
    const found = child.type === 'protocol/client' ? child : clientBelow(child);
    if (found) return found;
  }
  return undefined;
}
