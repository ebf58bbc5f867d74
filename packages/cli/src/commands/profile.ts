/** volume profile */
import type { ProfileBrickData, ProfileSectionData } from '@mortar/glusterd/protocol/replies.ts';
import type { ProfileKind } from '@mortar/glusterd/protocol/requests.ts';
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import { UsageError } from '../session.ts';
import { type Element, element } from '../xml.ts';

const operationNumbers = { start: 1, stop: 2, info: 3 } as const;
/** Sizes in a line of the table of block sizes. */
const sizesInLine = 3;
const sizeCount = 32;

interface Words {
  operation: 'start' | 'stop' | 'info';
  what: ProfileKind;
  peek: boolean;
}

/** `{start|info [peek|incremental [peek]|cumulative|clear]|stop} [nfs]` */
function parse(words: readonly string[]): Words {
  const rest = words.slice(3);
  if (rest.at(-1) === 'nfs') rest.pop();
  const [operation, what, peek, more] = rest;
  if (more !== undefined) throw new UsageError();
  if (operation === 'start' || operation === 'stop') {
    if (what !== undefined) throw new UsageError();
    return { operation, what: 'all', peek: false };
  }
  if (operation !== 'info') throw new UsageError();
  if (what === undefined || what === 'peek') {
    if (peek !== undefined) throw new UsageError();
    return { operation, what: 'all', peek: what === 'peek' };
  }
  if (what !== 'incremental' && what !== 'cumulative' && what !== 'clear') throw new UsageError();
  if (peek !== undefined && (what !== 'incremental' || peek !== 'peek')) throw new UsageError();
  return { operation, what, peek: peek !== undefined };
}

export const volumeProfile: Handler = async (session, words) => {
  const volume = words[2];
  if (volume === undefined) throw new UsageError();
  const { operation, what, peek } = parse(words);
  const reply = await session.request(words, {
    verb: 'volume.profile',
    volume,
    operation,
    ...(operation === 'info' && { what, peek }),
  });
  if (!reply.ok) return fail(session, '', reply.error);
  const { bricks } = reply.data;
  if (session.flags.xml) return succeedXml(session, [profileElement(volume, operation, bricks)]);
  if (operation === 'info') session.io.out(bricks.map(brickText).join(''));
  else {
    const doing = operation === 'start' ? 'Starting' : 'Stopping';
    line(session.io, `${doing} volume profile on ${volume} has been successful `);
  }
  return 0;
};

function brickText(brick: ProfileBrickData): string {
  const head = `Brick: ${brick.name}\n${'-'.repeat(30)}\n`;
  if (brick.cleared) return `${head}Cleared stats.\n`;
  const { cumulative, interval } = brick;
  return (
    head +
    (cumulative ? `Cumulative Stats:\n${sectionText(cumulative)}` : '') +
    (interval ? `Interval ${interval.number} Stats:\n${sectionText(interval)}` : '')
  );
}

function sectionText(section: ProfileSectionData): string {
  return (
    `${blocksText(section)}${fopsText(section)} \n` +
    `    Duration: ${section.durationSeconds} seconds\n` +
    `   Data Read: ${section.bytesRead} bytes\n` +
    `Data Written: ${section.bytesWritten} bytes\n \n`
  );
}

function blocksText({ blocks }: ProfileSectionData): string {
  let text = '';
  for (let at = 0; at < blocks.length; at += sizesInLine) {
    const some = blocks.slice(at, at + sizesInLine);
    const cells = (value: (block: (typeof blocks)[number]) => string) =>
      some.map((block) => `${value(block)} `).join('');
    text += `   Block Size:${cells(({ size }) => `${`${size}`.padStart(19)}b+`)}\n`;
    text += ` No. of Reads:${cells(({ reads }) => `${reads}`.padStart(21))}\n`;
    text += `No. of Writes:${cells(({ writes }) => `${writes}`.padStart(21))}\n`;
    if (some.length === sizesInLine) text += ' \n';
  }
  return text;
}

function fopsText({ fops }: ProfileSectionData): string {
  if (fops.length === 0) return '';
  const total = fops.reduce((sum, { avgMicros, hits }) => sum + avgMicros * hits, 0);
  const share = (fop: (typeof fops)[number]) => (total === 0 ? 0 : (fop.avgMicros * fop.hits * 100) / total);
  const nanoseconds = (micros: number) => `${(micros * 1000).toFixed(2).padStart(10)} ns`;
  const rows = [...fops]
    .sort((a, b) => share(a) - share(b))
    .map((fop) => {
      const times = [fop.avgMicros, fop.minMicros, fop.maxMicros].map(nanoseconds).join(' ');
      return `${share(fop).toFixed(2).padStart(10)} ${times} ${`${fop.hits}`.padStart(14)} ${fop.fop.padStart(11)}\n`;
    });
  return (
    ' %-latency   Avg-latency   Min-Latency   Max-Latency   No. of calls         Fop\n' +
    ' ---------   -----------   -----------   -----------   ------------        ----\n' +
    rows.join('')
  );
}

function profileElement(
  volume: string,
  operation: keyof typeof operationNumbers,
  bricks: readonly ProfileBrickData[],
): Element {
  const head = [element('volname', volume), element('profileOp', operationNumbers[operation])];
  if (operation !== 'info') return element('volProfile', head);
  return element('volProfile', [...head, element('brickCount', bricks.length), ...bricks.map(brickElement)], 'brick');
}

function brickElement({ name, cleared, cumulative, interval }: ProfileBrickData): Element {
  return element('brick', [
    element('brickName', name),
    ...(cleared ? [element('clearStats', 'Cleared stats.')] : []),
    ...(cumulative ? [element('cumulativeStats', sectionElements(cumulative))] : []),
    ...(interval ? [element('intervalStats', sectionElements(interval))] : []),
  ]);
}

function sectionElements(section: ProfileSectionData): Element[] {
  const bySize = new Map(section.blocks.map((block) => [block.size, block]));
  const blocks = Array.from({ length: sizeCount }, (_, power) => {
    const size = 2 ** power;
    const { reads = 0, writes = 0 } = bySize.get(size) ?? {};
    return element('block', [element('size', size), element('reads', reads), element('writes', writes)]);
  });
  const fops = section.fops.map((fop) =>
    element('fop', [
      element('name', fop.fop),
      element('hits', fop.hits),
      element('avgLatency', (fop.avgMicros * 1000).toFixed(6)),
      element('minLatency', (fop.minMicros * 1000).toFixed(6)),
      element('maxLatency', (fop.maxMicros * 1000).toFixed(6)),
    ]),
  );
  return [
    element('blockStats', blocks, 'block'),
    element('fopStats', fops, 'fop'),
    element('duration', section.durationSeconds),
    element('totalRead', section.bytesRead),
    element('totalWrite', section.bytesWritten),
  ];
}
