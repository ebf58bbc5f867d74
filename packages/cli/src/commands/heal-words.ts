import type { HealOperation } from '@mortar/glusterd/protocol/requests.ts';
import { UsageError } from '../session.ts';
import { parseBrick } from './brick-words.ts';

/** The words after `volume heal VOLNAME`. */
export function parseHeal(words: readonly string[]): HealOperation {
  const operation = known(words);
  if (!operation) throw new UsageError();
  return operation;
}

function known(words: readonly string[]): HealOperation | undefined {
  const [verb, what, third, fourth] = words;
  switch (words.length) {
    case 0:
      return { kind: 'index' };
    case 1:
      return single(verb!);
    case 2:
      return double(verb!, what!);
    case 3:
      if (verb !== 'split-brain') return undefined;
      if (what === 'bigger-file' || what === 'latest-mtime') return { kind: 'split-brain', policy: what, file: third! };
      if (what === 'source-brick') return { kind: 'split-brain', policy: what, brick: parseBrick(third!) };
      return undefined;
    case 4:
      if (verb === 'statistics' && what === 'heal-count' && third === 'replica')
        return { kind: 'heal-count', replicaOf: parseBrick(fourth!) };
      if (verb === 'split-brain' && what === 'source-brick')
        return { kind: 'split-brain', policy: what, brick: parseBrick(third!), file: fourth! };
      return undefined;
    default:
      return undefined;
  }
}

function single(verb: string): HealOperation | undefined {
  if (verb === 'full' || verb === 'enable' || verb === 'disable' || verb === 'statistics') return { kind: verb };
  return verb === 'info' ? { kind: 'info', what: 'all' } : undefined;
}

function double(verb: string, what: string): HealOperation | undefined {
  if (verb === 'info' && (what === 'summary' || what === 'split-brain')) return { kind: 'info', what };
  if (verb === 'statistics' && what === 'heal-count') return { kind: 'heal-count' };
  if (verb === 'granular-entry-heal' && (what === 'enable' || what === 'disable'))
    return { kind: 'granular', enable: what === 'enable' };
  return undefined;
}
