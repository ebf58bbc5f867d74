/** All of a node in one text: what glusterd knows, and what each process of the node tells. */
import { z } from 'zod';
import type { Context } from '../context.ts';
import { nodesOf } from '../operations/task-nodes.ts';
import { localBricks } from '../operations/volumes.ts';
import { isServedOn, needsHealDaemon } from '../supervision/heal-wants.ts';
import type { BrickInfo, VolumeInfo } from '../volume.ts';
import { gaugeText, type Labels, mergeMetrics, type Part } from './merge.ts';

/** Who does not answer in this time is left out: its `mortar_process_answers` is 0. */
const askMs = 3000;
const mostTextLength = 16 * 2 ** 20;

const textAnswer = z.object({ text: z.string().max(mostTextLength) });
const countAnswer = z.array(z.object({ brick: z.string(), count: z.number().nullable() }));

interface Asked {
  readonly labels: Labels;
  ask(): Promise<unknown>;
}

export async function nodeMetrics(context: Context, own: string): Promise<string> {
  const started = [...context.store.state.volumes.values()].filter(({ status }) => status === 'started');
  const asked = [...started.flatMap((volume) => processesOf(context, volume)), ...healDaemonOf(context, started)];
  const answers = await Promise.all(asked.map((one) => textOf(one)));
  const parts: Part[] = [
    { labels: { process: 'glusterd' }, text: own },
    { labels: {}, text: poolText(context) },
    { labels: {}, text: brickText(context) },
    { labels: {}, text: await healText(context, started) },
    { labels: {}, text: answersText(asked, answers) },
  ];
  for (const [i, text] of answers.entries()) if (text !== null) parts.push({ labels: asked[i]!.labels, text });
  return mergeMetrics(parts);
}

function processesOf({ supervisor, store }: Context, volume: VolumeInfo): Asked[] {
  const { uuid } = store.state.node;
  const { name } = volume;
  const found: Asked[] = volume.bricks
    .filter((brick) => brick.hostUuid === uuid)
    .map((brick) => ({
      labels: { process: 'brick', ...brickLabels(volume, brick) },
      ask: () => supervisor.askBrick(volume, brick, 'metrics.text', {}, askMs),
    }));
  const { task } = volume;
  if (task && nodesOf(task, uuid)[uuid]?.state === 'running')
    found.push({
      labels: { process: 'rebalance', volume: name },
      ask: () => supervisor.askRebalance(volume, 'metrics.text', askMs),
    });
  return found;
}

/** It labels what it tells of a volume by itself. */
function healDaemonOf({ healDaemon, store }: Context, started: readonly VolumeInfo[]): Asked[] {
  if (!started.some((volume) => isServedOn(store.state.node.uuid, volume))) return [];
  return [{ labels: { process: 'glustershd' }, ask: () => healDaemon.ask('metrics.text', {}, askMs) }];
}

async function textOf({ ask }: Asked): Promise<string | null> {
  try {
    return textAnswer.parse(await ask()).text;
  } catch {
    return null;
  }
}

function answersText(asked: readonly Asked[], answers: readonly (string | null)[]): string {
  const samples = asked.map(({ labels }, i) => [labels, answers[i] === null ? 0 : 1] as const);
  return gaugeText('mortar_process_answers', 'Whether a process that should run has answered.', samples);
}

function poolText({ store, pool }: Context): string {
  const { volumes, node } = store.state;
  const others = pool?.others() ?? [];
  return [
    gaugeText('mortar_node_info', 'This node.', [[{ uuid: node.uuid, op_version: `${node.opVersion}` }, 1]]),
    gaugeText('mortar_pool_members', 'Nodes of the pool, this one included.', [[{}, others.length + 1]]),
    gaugeText('mortar_pool_version', 'Number of the last change that this node knows.', [[{}, pool?.version ?? 0]]),
    gaugeText(
      'mortar_peer_connected',
      'Whether this node reaches another one of the pool.',
      others.map(({ uuid, hostnames }) => [{ peer: hostnames[0]!, uuid }, pool!.isConnected(uuid) ? 1 : 0]),
    ),
    gaugeText(
      'mortar_volume_started',
      'Whether a volume is started.',
      [...volumes.values()].map((volume) => [{ volume: volume.name }, volume.status === 'started' ? 1 : 0]),
    ),
    gaugeText(
      'mortar_volume_bricks',
      'Bricks of a volume on all nodes.',
      [...volumes.values()].map((volume) => [{ volume: volume.name }, volume.bricks.length]),
    ),
  ].join('');
}

/** File systems of the bricks of this node. */
function brickText(context: Context): string {
  const sizes: [Labels, number][] = [];
  const free: [Labels, number][] = [];
  const inodes: [Labels, number][] = [];
  const freeInodes: [Labels, number][] = [];
  for (const volume of context.store.state.volumes.values())
    for (const brick of localBricks(context, volume)) {
      const labels = brickLabels(volume, brick);
      try {
        const facts = context.inspector.facts(brick.path);
        sizes.push([labels, facts.totalBytes]);
        free.push([labels, facts.freeBytes]);
        inodes.push([labels, facts.inodes]);
        freeInodes.push([labels, facts.freeInodes]);
      } catch {
        // Its disk is gone: there is nothing to tell, and `mortar_process_answers` shows what that means.
      }
    }
  return [
    gaugeText('mortar_brick_size_bytes', 'Size of the file system of a brick.', sizes),
    gaugeText('mortar_brick_free_bytes', 'Free space of the file system of a brick.', free),
    gaugeText('mortar_brick_inodes', 'Inodes of the file system of a brick.', inodes),
    gaugeText('mortar_brick_free_inodes', 'Free inodes of the file system of a brick.', freeInodes),
  ].join('');
}

/** What the bricks of this node know that other replicas have missed. */
async function healText(context: Context, started: readonly VolumeInfo[]): Promise<string> {
  const counts = started.map(async (volume): Promise<[Labels, number][]> => {
    const own = localBricks(context, volume);
    if (own.length === 0 || !needsHealDaemon(volume)) return [];
    try {
      const asked = context.healDaemon.ask('heal.count', { volume: volume.name }, askMs);
      const answer = countAnswer.parse(await asked);
      return own.flatMap((brick) => {
        const found = answer.find((one) => one.brick === `${brick.host}:${brick.path}`);
        return typeof found?.count === 'number' ? [[brickLabels(volume, brick), found.count]] : [];
      });
    } catch {
      return [];
    }
  });
  const help = 'Entries that a brick knows to be missing or old on other replicas.';
  return gaugeText('mortar_heal_pending_entries', help, (await Promise.all(counts)).flat());
}

function brickLabels(volume: VolumeInfo, brick: BrickInfo): Labels {
  return { volume: volume.name, brick: `${brick.host}:${brick.path}` };
}
