/** `volume info`: data to text and XML. */
import type { VolumeData } from '@mortar/glusterd/protocol/replies.ts';
import { type Element, element, escapeXml } from '../xml.ts';

const typeNumbers = { Distribute: 0, Replicate: 2, Disperse: 4 } as const;
/** A volume of several sets has the number of its plain type plus this. */
const distributedOffset = 5;
const statusNumbers = { Created: 0, Started: 1, Stopped: 2 } as const;
const transportNumbers = { tcp: 0, rdma: 1, 'tcp,rdma': 2 } as const;

export function setCount(volume: VolumeData): number {
  return Math.floor(volume.bricks.length / volume.setSize);
}

function isDistributed(volume: VolumeData): boolean {
  return volume.type !== 'Distribute' && setCount(volume) > 1;
}

export function typeText(volume: VolumeData): string {
  return isDistributed(volume) ? `Distributed-${volume.type}` : volume.type;
}

function brickCountText(volume: VolumeData): string {
  const total = volume.bricks.length;
  if (volume.type === 'Distribute') return `${total}`;
  const spare = volume.type === 'Disperse' ? volume.redundancy : volume.arbiter;
  const set = spare > 0 ? `(${volume.setSize - spare} + ${spare})` : `${volume.setSize}`;
  return `${setCount(volume)} x ${set} = ${total}`;
}

export function volumeText(volume: VolumeData): string {
  const lines = [
    ' ',
    `Volume Name: ${volume.name}`,
    `Type: ${typeText(volume)}`,
    `Volume ID: ${volume.id}`,
    `Status: ${volume.status}`,
    `Snapshot Count: ${volume.snapshotCount}`,
    `Number of Bricks: ${brickCountText(volume)}`,
    `Transport-type: ${volume.transport}`,
    'Bricks:',
    ...volume.bricks.map((brick, index) => `Brick${index + 1}: ${brick.name}${brick.arbiter ? ' (arbiter)' : ''}`),
  ];
  if (volume.thinArbiterBrick !== undefined) lines.push(`Thin-arbiter-path: ${volume.thinArbiterBrick}`);
  if (volume.options.length > 0) lines.push('Options Reconfigured:');
  for (const [key, value] of volume.options) lines.push(`${key}: ${value}`);
  return lines.map((text) => `${text}\n`).join('');
}

export function volumeElement(volume: VolumeData): Element {
  const type = typeNumbers[volume.type] + (isDistributed(volume) ? distributedOffset : 0);
  return element('volume', [
    element('name', volume.name),
    element('id', volume.id),
    element('status', statusNumbers[volume.status]),
    element('statusStr', volume.status),
    element('snapshotCount', volume.snapshotCount),
    element('brickCount', volume.bricks.length),
    element('distCount', setCount(volume)),
    element('replicaCount', volume.replica),
    element('arbiterCount', volume.arbiter),
    element('disperseCount', volume.disperse),
    element('redundancyCount', volume.redundancy),
    element('type', type),
    element('typeStr', typeText(volume)),
    element('transport', transportNumbers[volume.transport]),
    element('bricks', volume.bricks.map(brickElement), 'brick'),
    element('optCount', volume.options.length),
    element(
      'options',
      volume.options.map(([key, value]) => element('option', [element('name', key), element('value', value)])),
      'option',
    ),
  ]);
}

/** Text and elements mixed, hence on one line. */
function brickElement(brick: VolumeData['bricks'][number]): Element {
  const name = escapeXml(brick.name);
  const arbiter = brick.arbiter ? 1 : 0;
  const inline = `${name}<name>${name}</name><hostUuid>${brick.hostUuid}</hostUuid><isArbiter>${arbiter}</isArbiter>`;
  return { name: 'brick', attributes: { uuid: brick.hostUuid }, inline };
}
