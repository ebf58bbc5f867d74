/** What `volume heal ... info` and `statistics` print. */
import type {
  CrawlBrickData,
  CrawlData,
  HealBrickData,
  HealCountData,
  HealEntryData,
} from '@mortar/glusterd/protocol/replies.ts';
import { type Element, element } from '../xml.ts';

export type InfoKind = 'all' | 'summary' | 'split-brain';

const away = 'Transport endpoint is not connected';

function nameOf(entry: HealEntryData): string {
  return entry.path ?? `<gfid:${entry.gfid}>`;
}

/** The entries that this kind of information is about. */
function entriesOf(brick: HealBrickData, kind: InfoKind): HealEntryData[] {
  return kind === 'split-brain' ? brick.entries.filter((entry) => entry.splitBrain) : brick.entries;
}

function entryLine(entry: HealEntryData, kind: InfoKind): string {
  if (kind === 'split-brain') return nameOf(entry);
  if (entry.splitBrain) return `${nameOf(entry)} - Is in split-brain`;
  if (entry.healing) return `${nameOf(entry)} - Possibly undergoing heal`;
  return `${nameOf(entry)} `;
}

/** Label and XML name of each count. */
const summaryRows = [
  ['Total Number of entries', 'totalNumberOfEntries'],
  ['Number of entries in heal pending', 'numberOfEntriesInHealPending'],
  ['Number of entries in split-brain', 'numberOfEntriesInSplitBrain'],
  ['Number of entries possibly healing', 'numberOfEntriesPossiblyHealing'],
] as const;

function summaryCounts(brick: HealBrickData): number[] {
  const splitBrain = brick.entries.filter((entry) => entry.splitBrain).length;
  const healing = brick.entries.filter((entry) => entry.healing && !entry.splitBrain).length;
  return [brick.entries.length, brick.entries.length - splitBrain - healing, splitBrain, healing];
}

export function infoText(brick: HealBrickData, kind: InfoKind): string {
  const entries = brick.connected ? entriesOf(brick, kind) : [];
  const lines = [`Brick ${brick.name}`];
  if (kind !== 'summary') lines.push(...entries.map((entry) => entryLine(entry, kind)));
  lines.push(`Status: ${brick.connected ? 'Connected' : away}`);
  if (kind === 'summary') {
    const counts = summaryCounts(brick);
    lines.push(...summaryRows.map(([label], i) => `${label}: ${brick.connected ? counts[i] : '-'}`));
  } else {
    const label = kind === 'split-brain' ? 'Number of entries in split-brain' : 'Number of entries';
    lines.push(`${label}: ${brick.connected ? entries.length : '-'}`);
  }
  return `${lines.join('\n')}\n\n`;
}

export function infoElement(brick: HealBrickData, kind: InfoKind): Element {
  const content: Element[] = [element('name', brick.name)];
  if (kind === 'summary') content.push(...summaryElements(brick));
  else {
    const entries = brick.connected ? entriesOf(brick, kind) : [];
    for (const entry of entries) content.push({ name: 'file', attributes: { gfid: entry.gfid }, text: nameOf(entry) });
    content.push(element('status', brick.connected ? 'Connected' : away));
    content.push(element('numberOfEntries', brick.connected ? entries.length : '-'));
  }
  return {
    name: 'brick',
    attributes: { hostUuid: brick.connected ? brick.hostUuid : '-' },
    children: content,
    listed: kind === 'summary' ? [] : ['file'],
  };
}

/** A brick that is away has its status glued to the next name; programs that read it have learned that. */
function summaryElements(brick: HealBrickData): Element[] {
  if (!brick.connected)
    return [element('status', `Failed to process entries completely. (${away})totalNumberOfEntries0`)];
  const counts = summaryCounts(brick);
  return [element('status', 'Connected'), ...summaryRows.map(([, name], i) => element(name, counts[i]!))];
}

export function countText(brick: HealCountData): string {
  if (brick.count === null)
    return `\nBrick ${brick.name}\nStatus: Brick is not connected\nNo gathered input for this brick\n`;
  return `\nBrick ${brick.name}\nNumber of entries: ${brick.count}\n`;
}

export function countElement({ name, count }: HealCountData): Element {
  return element('brick', [element('name', name), element('numberOfEntries', count ?? '-')]);
}

export function statisticsElement({ index, hostname, crawls }: CrawlBrickData): Element {
  const rows = crawls.map((crawl) =>
    element('crawl', [
      element('startTime', crawl.startSeconds),
      element('endTime', crawl.endSeconds ?? '-'),
      element('type', crawl.type),
      element('healed', crawl.healed),
      element('splitBrain', crawl.splitBrain),
      element('failed', crawl.failed),
    ]),
  );
  return element('brick', [element('index', index), element('hostname', hostname), element('crawls', rows, 'crawl')]);
}

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** As ctime(3) has it, in local time, with its newline. */
export function ctime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = String(date.getDate()).padStart(2);
  return `${days[date.getDay()]} ${months[date.getMonth()]} ${day} ${time} ${date.getFullYear()}\n`;
}

function crawlText(crawl: CrawlData): string {
  const end = crawl.endSeconds === null ? 'Crawl is in progress' : `Ending time of crawl: ${ctime(crawl.endSeconds)}`;
  return (
    `\nStarting time of crawl: ${ctime(crawl.startSeconds)}\n${end}\nType of crawl: ${crawl.type}\n` +
    `No. of entries healed: ${crawl.healed}\nNo. of entries in split-brain: ${crawl.splitBrain}\n` +
    `No. of heal failed entries: ${crawl.failed}\n`
  );
}

export function statisticsText(brick: CrawlBrickData): string {
  const head =
    '------------------------------------------------\n' +
    `\nCrawl statistics for brick no ${brick.index}\nHostname of brick ${brick.hostname}\n`;
  return head + brick.crawls.map(crawlText).join('');
}
