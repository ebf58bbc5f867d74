/** volume top */
import type { TopBrickData } from '@mortar/glusterd/protocol/replies.ts';
import type { RequestOf, TopOperation } from '@mortar/glusterd/protocol/requests.ts';
import type { Handler } from '../commands.ts';
import { fail, succeedXml } from '../outcome.ts';
import { UsageError } from '../session.ts';
import { type Element, element } from '../xml.ts';
import { parseBrick, wholeNumber } from './brick-words.ts';

/** By their numbers in the XML. */
const operations: Readonly<Record<TopOperation, number>> = {
  clear: 0,
  open: 1,
  read: 2,
  write: 3,
  opendir: 4,
  readdir: 5,
  'read-perf': 6,
  'write-perf': 7,
};
const listMax = 100;

function isOperation(word: string | undefined): word is TopOperation {
  return word !== undefined && Object.hasOwn(operations, word);
}

function parse(words: readonly string[]): RequestOf<'volume.top'> {
  const [, , volume, operation, ...rest] = words;
  if (volume === undefined || !isOperation(operation)) throw new UsageError();
  const request: RequestOf<'volume.top'> = { verb: 'volume.top', volume, operation };
  let blockSize: number | undefined;
  let blocks: number | undefined;
  for (let i = 0; i < rest.length; i += 2) {
    const [word, value] = [rest[i], rest[i + 1]];
    if (word === 'nfs') {
      i--;
      continue;
    }
    if (value === undefined) throw new UsageError();
    if (word === 'brick') request.brick = parseBrick(value);
    else if (word === 'list-cnt') request.count = positive(value, 'list-cnt should be between 0 to 100', listMax);
    else if (word === 'bs') blockSize = positive(value, 'block size should be an integer greater than zero');
    else if (word === 'count') blocks = positive(value, 'count should be an integer greater than zero');
    else throw new UsageError();
  }
  if ((blockSize === undefined) !== (blocks === undefined))
    throw new UsageError(["Need to give both 'bs' and 'count'"]);
  if (blockSize !== undefined && blocks !== undefined) {
    if (!operation.endsWith('-perf')) throw new UsageError();
    request.measure = { blockSize, blocks };
  }
  return request;
}

function positive(word: string, complaint: string, max = Number.MAX_SAFE_INTEGER): number {
  const value = wholeNumber(word);
  if (value === undefined || value < 1 || value > max) throw new UsageError([complaint]);
  return value;
}

export const volumeTop: Handler = async (session, words) => {
  const request = parse(words);
  const reply = await session.request(words, request);
  if (!reply.ok) {
    const status = fail(session, '', reply.error);
    if (!session.flags.xml) session.io.err('volume top unsuccessful\n');
    return status;
  }
  const { bricks } = reply.data;
  if (session.flags.xml) return succeedXml(session, [topElement(request.operation, bricks)]);
  session.io.out(bricks.map((brick) => brickText(request.operation, brick)).join(''));
  return 0;
};

function brickText(operation: TopOperation, brick: TopBrickData): string {
  if (operation === 'clear') return `Cleared stats for brick ${brick.name}\n`;
  const isPerf = operation.endsWith('-perf');
  let text = `Brick: ${brick.name}\n`;
  if (operation === 'open')
    text += `Current open fds: ${brick.openNow}, Max open fds: ${brick.openMax}, Max openfd time: ${brick.openMaxTime || 'N/A'}\n`;
  if (brick.measured) {
    const { megabytesPerSecond, seconds } = brick.measured;
    text += `Throughput ${megabytesPerSecond.toFixed(2)} MBps time ${seconds.toFixed(4)} secs\n`;
  }
  if (brick.members.length === 0) return text;
  text += isPerf
    ? `MBps Filename                                        Time                      \n` +
      `==== ========                                        ====                      \n`
    : 'Count\t\tfilename\n=======================\n';
  for (const { name, value, time = '' } of brick.members)
    text += isPerf
      ? `${`${Math.trunc(value)}`.padStart(4)} ${shortened(name).padEnd(47)} ${time}\n`
      : `${value}\t\t${name}\n`;
  return text;
}

/** The column takes 47 characters: the end of a path says most. */
function shortened(name: string): string {
  return name.length <= 47 ? name : `...${name.slice(-44)}`;
}

function topElement(operation: TopOperation, bricks: readonly TopBrickData[]): Element {
  const rows = bricks.map((brick) => brickElement(operation, brick));
  const head = [element('brickCount', bricks.length), element('topOp', operations[operation])];
  return element('volTop', [...head, ...rows], 'brick');
}

function brickElement(operation: TopOperation, brick: TopBrickData): Element {
  const isPerf = operation.endsWith('-perf');
  const open = [
    element('currentOpen', brick.openNow),
    element('maxOpen', brick.openMax),
    element('maxOpenTime', brick.openMaxTime || 'N/A'),
  ];
  const files = brick.members.map(({ name, value, time }) =>
    element('file', [
      element('filename', name),
      element('count', Math.trunc(value)),
      ...(isPerf ? [element('time', time ?? '')] : []),
    ]),
  );
  const head = [element('name', brick.name), element('members', brick.members.length)];
  return element('brick', [...head, ...(operation === 'open' ? open : []), ...files], 'file');
}
