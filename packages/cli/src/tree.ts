/** Which command some words mean. A word may be shortened as long as only one word begins like that (`v`, `vol`). */
import { type Command, commands } from './commands.ts';

export type Found =
  | { kind: 'command'; command: Command }
  | { kind: 'unknown-word'; word: string; position: number; known: readonly string[] }
  | { kind: 'incomplete' };

/** The one that is `text` or alone begins with it. */
export function unambiguous(text: string, words: Iterable<string>): string | undefined {
  const candidates = new Set<string>();
  for (const word of words) {
    if (word === text) return word;
    if (word.startsWith(text)) candidates.add(word);
  }
  return candidates.size === 1 ? [...candidates][0] : undefined;
}

export function findCommand(words: readonly string[]): Found {
  let candidates: readonly Command[] = commands.filter((command) => !command.form);
  for (let position = 0; ; position++) {
    const complete = candidates.filter((command) => command.path.length === position);
    const longer = candidates.filter((command) => command.path.length > position);
    const given = words[position];
    const next =
      given === undefined
        ? undefined
        : unambiguous(
            given,
            longer.map((command) => command.path[position]!),
          );
    if (next !== undefined) candidates = longer.filter((command) => command.path[position] === next);
    else if (complete[0]) return { kind: 'command', command: complete[0] };
    else if (given === undefined) return { kind: 'incomplete' };
    else return { kind: 'unknown-word', word: given, position, known: longer.map(({ path }) => path[position]!) };
  }
}
