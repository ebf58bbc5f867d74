/** What processes of a node have in memory: sizes while they work, and the objects of a class that are alive. */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { ClusterNode } from './nodes.ts';

export interface Footprint {
  /** Resident set, and V8's heap in use, in bytes; the latter is 0 where only /proc was asked. */
  readonly rss: number;
  readonly heap: number;
}

export type Footprints = ReadonlyMap<string, Footprint>;

const numberAfter = (text: string, word: string): number => Number(new RegExp(`${word}\\D*(\\d+)`).exec(text)?.[1]);

/** Now: of the mount, the volume's bricks on this node, glusterd and the heal daemon. */
async function footprints(node: ClusterNode, volume: string, mountPoint: string): Promise<Footprints> {
  const found = new Map<string, Footprint>();
  const own = await node.sh(`cat ${mountPoint}/.meta/mallinfo`);
  found.set('mount', { rss: numberAfter(own, 'resident'), heap: numberAfter(own, 'heap_used') });
  const status = await node.must('volume', 'status', volume, 'mem', '--xml');
  for (const brick of status.split('<node>').slice(1)) {
    const path = /<path>(\/[^<]*)</.exec(brick)?.[1];
    const sizes = { rss: numberAfter(brick, '<arena>'), heap: numberAfter(brick, '<uordblks>') };
    if (path !== undefined) found.set(`brick ${path.slice(path.lastIndexOf('/') + 1)}`, sizes);
  }
  for (const [name, file] of [
    ['glusterd', 'run/glusterd.pid'],
    ['heal daemon', 'run/glustershd/glustershd.pid'],
  ] as const) {
    const status = await node.sh(`cat /proc/$(cat ${node.at(file)})/status 2>/dev/null || true`);
    if (status !== '') found.set(name, { rss: numberAfter(status, 'VmRSS') * 1024, heap: 0 });
  }
  return found;
}

/**
 * Over some seconds of work: the median of the resident sets, and the smallest heap, which has the least in it that only waits
 * to be collected.
 */
export async function steadyFootprints(
  node: ClusterNode,
  volume: string,
  mountPoint: string,
  samples: number,
): Promise<Footprints> {
  const taken: Footprints[] = [];
  for (let i = 0; i < samples; i++) {
    taken.push(await footprints(node, volume, mountPoint));
    await pause(700);
  }
  return new Map(
    [...taken[0]!.keys()].map((name) => {
      const own = taken.flatMap((one) => one.get(name) ?? []);
      const sizes = own.map(({ rss }) => rss).sort((a, b) => a - b);
      return [name, { rss: sizes[sizes.length >> 1]!, heap: Math.min(...own.map(({ heap }) => heap)) }];
    }),
  );
}

const snapshotSignal = 'WINCH';

/** From now on what is started on the node can be asked which objects it has. */
export function allowSnapshots(node: ClusterNode): void {
  mkdirSync(node.at('snapshots'));
  const options = `--heapsnapshot-signal=SIG${snapshotSignal} --diagnostic-dir=${node.at('snapshots')}`;
  node.environment.push(`NODE_OPTIONS=${options}`);
}

/** How many objects of these classes a process has that something still refers to. It is as its node numbers it. */
export async function livingObjects(
  node: ClusterNode,
  pid: string,
  classes: readonly string[],
): Promise<Record<string, number>> {
  const folder = node.at('snapshots');
  await node.sh(`kill -${snapshotSignal} ${pid}`);
  for (let waits = 0; waits < 300; waits++) {
    await pause(200);
    const name = readdirSync(folder).find((one) => one.endsWith('.heapsnapshot'));
    const text = name === undefined ? '' : readFileSync(`${folder}/${name}`, 'utf8');
    if (!text.trimEnd().endsWith(']}')) continue;
    rmSync(`${folder}/${name}`);
    return countIn(JSON.parse(text) as Snapshot, classes);
  }
  throw new Error(`process ${pid} has made no snapshot of its heap in ${folder}`);
}

interface Snapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: string[]; readonly node_types: [string[], ...unknown[]] };
  };
  readonly nodes: readonly number[];
  readonly strings: readonly string[];
}

function countIn({ snapshot, nodes, strings }: Snapshot, classes: readonly string[]): Record<string, number> {
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [typeAt, nameAt] = [fields.indexOf('type'), fields.indexOf('name')];
  const object = types[0].indexOf('object');
  const counts = Object.fromEntries(classes.map((name) => [name, 0]));
  for (let at = 0; at < nodes.length; at += fields.length) {
    const name = strings[nodes[at + nameAt]!]!;
    if (nodes[at + typeAt] === object && Object.hasOwn(counts, name)) counts[name]!++;
  }
  return counts;
}
