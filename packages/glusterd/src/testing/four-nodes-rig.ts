/** Four nodes for each test of a file, each alone at first. */
import { afterEach, beforeEach, expect } from 'vitest';
import { Network, PoolNode, until } from './pool-rig.ts';

const count = 4;
export let network: Network;
export let nodes: PoolNode[];

export function node(index: number): PoolNode {
  return nodes[index - 1]!;
}

export function probe(from: number, host: string) {
  return node(from).run({ verb: 'peer.probe', host });
}

/** Nodes 1 to `size` are a pool, and all connected. */
export async function pool(size: number): Promise<PoolNode[]> {
  for (let i = 2; i <= size; i++) expect(await probe(1, node(i).address)).toMatchObject({ ok: true });
  const members = nodes.slice(0, size);
  await connected(members);
  return members;
}

export async function connected(members: readonly PoolNode[]): Promise<void> {
  const uuids = members.map(({ uuid }) => uuid);
  await until('all peers are connected', () =>
    members.every((one) => uuids.every((uuid) => one.daemon.context.pool!.isConnected(uuid))),
  );
}

export async function equal(members: readonly PoolNode[]): Promise<void> {
  await until('equal documents', () => new Set(members.map((one) => one.documents())).size === 1);
}

/** Call once in a test file. */
export function fourNodes(): void {
  beforeEach(async () => {
    network = new Network();
    nodes = Array.from({ length: count }, (_, i) => new PoolNode(network, i + 1, count));
    for (const one of nodes) await one.up();
  });

  afterEach(async () => {
    for (const one of nodes) {
      await one.daemon.close();
      one.remove();
    }
  });
}
