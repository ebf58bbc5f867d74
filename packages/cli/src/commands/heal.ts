import type { CommandError, HealData } from '@mortar/glusterd/protocol/replies.ts';
import type { HealOperation } from '@mortar/glusterd/protocol/requests.ts';
import type { Handler } from '../commands.ts';
import { errorLine, line } from '../io.ts';
import { type Session, UsageError } from '../session.ts';
import { type Element, element, outcome, printDocument } from '../xml.ts';
import { countElement, countText, infoElement, infoText, statisticsElement, statisticsText } from './heal-text.ts';
import { parseHeal } from './heal-words.ts';

export const volumeHeal: Handler = async (session, words) => {
  const volume = words[2];
  if (volume === undefined) throw new UsageError();
  const operation = parseHeal(words.slice(3));
  const reply = await session.request(words, { verb: 'volume.heal', volume, operation });
  if (!reply.ok) return refused(session, volume, operation, reply.error);
  return print(session, volume, operation, reply.data);
};

/** The words of a request in the sentence that tells how it went. */
function sentence(operation: HealOperation): { before: string; after: string } {
  switch (operation.kind) {
    case 'index':
    case 'full':
      return {
        before: `Launching heal operation to perform ${operation.kind} self heal`,
        after: '\nUse heal info commands to check status.',
      };
    case 'enable':
      return { before: 'Enable heal', after: '' };
    case 'disable':
      return { before: 'Disable heal', after: '' };
    case 'granular':
      return { before: `${operation.enable ? 'Enable' : 'Disable'} granular entry heal`, after: '' };
    case 'statistics':
      return { before: 'Gathering crawl statistics', after: '' };
    case 'heal-count': {
      const replica = operation.replicaOf === undefined ? '' : ' per replica';
      return { before: `Gathering count of entries to be healed${replica}`, after: '' };
    }
    default:
      return { before: '', after: '' };
  }
}

function documentOf(data: Exclude<HealData, { kind: 'info' }>): Element[] {
  switch (data.kind) {
    case 'done':
      return [];
    case 'count':
      return [element('bricks', data.bricks.map(countElement), 'brick')];
    case 'statistics':
      return [element('bricks', data.bricks.map(statisticsElement), 'brick')];
    case 'split-brain': {
      const lines = data.lines.map((text) => element('line', text));
      return [element('failed', Number(data.failed)), element('lines', lines, 'line')];
    }
  }
}

/** `info` and `split-brain` are answered by a helper in GlusterFS, which has a voice of its own. */
function isHelper(operation: HealOperation): boolean {
  return operation.kind === 'info' || operation.kind === 'split-brain';
}

function refused(session: Session, volume: string, operation: HealOperation, error: CommandError): number {
  if (isHelper(operation)) {
    const { json, xml } = session.flags;
    const failure = outcome(-1, error.errno, error.text);
    if (xml && operation.kind === 'info') printDocument(session, [healInfo([]), ...failure]);
    else if (json) printDocument(session, failure);
    else {
      line(session.io, error.text);
      line(session.io, 'Volume heal failed.');
    }
    return error.exit ?? 1;
  }
  if (session.flags.json) {
    printDocument(session, outcome(-1, error.errno, error.text));
    return error.exit ?? 1;
  }
  errorLine(session.io, `${sentence(operation).before} on volume ${volume} has been unsuccessful:`);
  errorLine(session.io, error.text);
  return error.exit ?? 1;
}

function healInfo(bricks: Element[]): Element {
  return element('healInfo', [element('bricks', bricks, 'brick')]);
}

function print(session: Session, volume: string, operation: HealOperation, data: HealData): number {
  const { io } = session;
  if (data.kind === 'info') {
    const kind = operation.kind === 'info' ? operation.what : 'all';
    if (session.flags.xml) {
      const bricks = data.bricks.map((brick) => infoElement(brick, kind));
      printDocument(session, [healInfo(bricks), ...outcome(0)]);
    } else io.out(data.bricks.map((brick) => infoText(brick, kind)).join(''));
    return 0;
  }
  // GlusterFS has documents of info only.
  if (session.flags.json) {
    printDocument(session, [...outcome(0), ...documentOf(data)]);
    return data.kind === 'split-brain' ? data.exit : 0;
  }
  if (data.kind === 'split-brain') {
    for (const text of data.lines) line(io, text);
    if (data.failed) line(io, 'Volume heal failed.');
    return data.exit;
  }
  const { before, after } = sentence(operation);
  line(io, `${before} on volume ${volume} has been successful ${after}`);
  if (data.kind === 'count') io.out(data.bricks.map(countText).join(''));
  if (data.kind === 'statistics') io.out(data.bricks.map(statisticsText).join(''));
  return 0;
}
