import { entriesOf, optionKeys } from '../volgen/table.ts';
import { suggest } from './suggest.ts';

/** Keys of `volume set all`, with what applies when they are not set. Their order is that of `volume get all all`. */
export const clusterOptions: Readonly<Record<string, string>> = {
  'cluster.server-quorum-ratio': '51',
  'cluster.enable-shared-storage': 'disable',
  'cluster.op-version': '',
  'cluster.max-op-version': '',
  'cluster.brick-multiplex': 'disable',
  'cluster.max-bricks-per-process': '250',
  'glusterd.vol_count_per_thread': '100',
  'cluster.localtime-logging': 'disable',
  'cluster.daemon-log-level': 'INFO',
  'cluster.brick-graceful-cleanup': 'disable',
};

/** Keys for scripts of users: stored and shown, never in a volfile. */
export function isUserKey(key: string): boolean {
  return key.startsWith('user.');
}

export type FoundKey = { key: string } | { suggestion: string };

/** The full key for what a person typed: itself, or what one option alone has after its first dot. */
export function findKey(typed: string): FoundKey {
  if (entriesOf(typed).length > 0) return { key: typed };
  if (!typed.includes('.')) {
    const found = new Set([...optionKeys()].filter((key) => key.slice(key.indexOf('.') + 1) === typed));
    if (found.size === 1) return { key: [...found][0]! };
  }
  return { suggestion: suggest(typed) };
}
