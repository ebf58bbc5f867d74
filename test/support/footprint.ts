/** What processes of a node have in memory: their size, and the objects that something still refers to. */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { ClusterNode } from './nodes.ts';

/** Processes by name: as the node numbers them. */
export type Pids = ReadonlyMap<string, number>;

export interface Footprint {
  /** Resident set, in bytes. */
  readonly rss: number;
  /** V8's heap without what waits to be collected, in bytes. */
  readonly heap: number;
  /** Living objects by the name of their class. */
  readonly objects: ReadonlyMap<string, number>;
}

const snapshotSignal = 'WINCH';
const samples = 5;

/** From now on what is started on the node can be asked what it has in memory. */
export function allowFootprints(node: ClusterNode): void {
  mkdirSync(node.at('snapshots'));
  const options = `--heapsnapshot-signal=SIG${snapshotSignal} --diagnostic-dir=${node.at('snapshots')}`;
  node.environment.push(`NODE_OPTIONS=${options}`);
}

/** Of processes at rest. To be asked enlarges a process once: the first answers are not to be compared. */
export async function footprints(node: ClusterNode, pids: Pids): Promise<ReadonlyMap<string, Footprint>> {
  const found = new Map<string, Footprint>();
  for (const [name, pid] of pids) {
    const sizes: number[] = [];
    for (let i = 0; i < samples; i++) {
      sizes.push(1024 * Number(await node.sh(`awk '/^VmRSS/ { print $2 }' /proc/${pid}/status`)));
      await pause(200);
    }
    found.set(name, { rss: sizes.sort((a, b) => a - b)[samples >> 1]!, ...(await heapOf(node, pid)) });
  }
  return found;
}

async function heapOf(node: ClusterNode, pid: number): Promise<Pick<Footprint, 'heap' | 'objects'>> {
  const folder = node.at('snapshots');
  await node.sh(`kill -${snapshotSignal} ${pid}`);
  for (let waits = 0; waits < 600; waits++) {
    await pause(100);
    const name = readdirSync(folder).find((one) => one.endsWith('.heapsnapshot'));
    const text = name === undefined ? '' : readFileSync(`${folder}/${name}`, 'utf8');
    if (!text.trimEnd().endsWith(']}')) continue;
    rmSync(`${folder}/${name}`);
    return summaryOf(JSON.parse(text) as Snapshot);
  }
  throw new Error(`process ${pid} has written no snapshot of its heap into ${folder}`);
}

interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: string[]; readonly node_types: [string[], ...unknown[]] };
  };
  readonly nodes: readonly number[];
  readonly strings: readonly string[];
}

/** What V8 makes of code as it gets warm is no data: it comes and goes. Buffers of files are outside of the heap. */
const notData = new Set(['code', 'native', 'hidden', 'synthetic']);

function summaryOf({ snapshot, nodes, strings }: Snapshot): Pick<Footprint, 'heap' | 'objects'> {
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const at = (name: string) => fields.indexOf(name);
  const [typeAt, nameAt, sizeAt] = [at('type'), at('name'), at('self_size')];
  const objects = new Map<string, number>();
  let heap = 0;
  for (let i = 0; i < nodes.length; i += fields.length) {
    const type = types[0][nodes[i + typeAt]!]!;
    if (!notData.has(type)) heap += nodes[i + sizeAt]!;
    if (type !== 'object') continue;
    const name = strings[nodes[i + nameAt]!]!;
    objects.set(name, (objects.get(name) ?? 0) + 1);
  }
  return { heap, objects };
}
