/** State dumps of clients that have their volfile from this node. */
import type { Context } from '../context.ts';

/** Whom a person means. */
export interface WantedClient {
  readonly pid: number;
  /** The node of the pool that its host is, or null. */
  readonly node: string | null;
  readonly addresses: readonly string[];
}

/** What became of the dumps of those that have their volfile from this node; null: one was written. */
export async function dumpClientsHere(
  { volfiles, clientDumps, store }: Context,
  volume: string,
  { pid, node, addresses }: WantedClient,
): Promise<(string | null)[]> {
  const isHere = node === store.state.node.uuid;
  const found = volfiles.clientsOf(volume).filter(({ hello, peer }) => {
    if (hello.processId !== pid) return false;
    return (isHere && (peer.isLocal || peer.kind === 'unix')) || addresses.includes(peer.address);
  });
  return Promise.all(found.map((caller) => clientDumps.ask(caller)));
}
