/** `volume statedump V client HOST:PID`: a client of the volume, whichever node of the pool it has its volfile from. */
import { isLoopback } from '@mortar/core';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { gatherFromAll } from '../pool/sites.ts';
import type { VolumeInfo } from '../volume.ts';
import { dumpClientsHere, type WantedClient } from './dump-client-here.ts';

const addressesMax = 256;

/** Throws OperationError when nobody was found, or what was found has written none. */
export async function dumpClient(context: Context, volume: VolumeInfo, client: string): Promise<void> {
  const colon = client.lastIndexOf(':');
  const [host, pid] = [client.slice(0, colon), Number(client.slice(colon + 1))];
  const wanted = { ...(await placeOf(context, host)), pid };
  const params = { volume: volume.name, ...wanted };
  const elsewhere = gatherFromAll(context, 'dumpClients', { ...params, addresses: [...wanted.addresses] });
  const problems = [
    ...(await dumpClientsHere(context, volume.name, wanted)),
    ...(await elsewhere).flatMap((answer) => answer.problems),
  ];
  if (problems.length === 0)
    throw new OperationError(
      `no client ${client} of volume ${volume.name} has its volfile from a node that answers. A mount dumps its state on its own machine, too: kill -USR1 ${pid}`,
    );
  const found = problems.filter((problem) => problem !== null);
  if (found.length > 0) throw new OperationError(found.map((problem) => `${client}: ${problem}`).join('\n'));
}

async function placeOf(context: Context, host: string): Promise<Omit<WantedClient, 'pid'>> {
  const { hostBook, store, hosts, pool } = context;
  const node = await hostBook.nodeOf(host, store.state);
  const peer = node === null ? undefined : store.state.peers.get(node);
  const addresses = new Set([host, ...(await (pool ? pool.addresses.resolve(host) : hosts.resolve(host)))]);
  if (node === store.state.node.uuid) for (const own of hosts.addresses()) addresses.add(own);
  else if (peer && pool) for (const one of await pool.addresses.addressesOf(peer)) addresses.add(one);
  return { node, addresses: [...addresses].filter((one) => !isLoopback(one)).slice(0, addressesMax) };
}
