/** Names near to a mistyped key, as GlusterFS suggests them: `cache-size`, `auth.allow or ...reject`. */
import { editDistance } from '@mortar/core';
import { optionKeys } from '../volgen/table.ts';

/** Words of all keys at one place between dots, `below` a first word. Sorted, since ties go to the first. */
function wordsAt(level: 0 | 1, below?: string): string[] {
  const words = new Set<string>();
  for (const key of optionKeys()) {
    const parts = key.split('.');
    if (level === 1 && below !== undefined && parts[0] !== below) continue;
    words.add(parts[level]!);
  }
  return [...words].sort();
}

/** At most `count` of the words with the smallest edit distance. There is always one: GlusterFS never gives up. */
function nearestWords(word: string, words: readonly string[], count: number): string[] {
  const measured = words.map((candidate) => ({ candidate, distance: editDistance(word, candidate) }));
  const least = Math.min(...measured.map(({ distance }) => distance));
  return measured
    .filter(({ distance }) => distance === least)
    .map(({ candidate }) => candidate)
    .slice(0, count);
}

/** What to ask after "Did you mean". A key without a dot is compared with the words after the first dot. */
export function suggest(key: string): string {
  // Nobody means a key that is much longer than all keys; comparing would only take time.
  const word = key.slice(0, 128);
  const dot = word.indexOf('.');
  if (dot < 0) return nearestWords(word, wordsAt(1), 2).join(' or ');
  const domain = nearestWords(word.slice(0, dot), wordsAt(0), 1)[0]!;
  return `${domain}.${nearestWords(word.slice(dot + 1), wordsAt(1, domain), 2).join(' or ...')}`;
}
