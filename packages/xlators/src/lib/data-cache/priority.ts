/** Weights of files by patterns of names: `*.jpg:1,*.html:2`. Pure. */
import { type ByteString, OptionError } from '@mortar/core';

interface Rule {
  readonly pattern: RegExp;
  readonly weight: number;
}

const defaultWeight = 1;

export class Priorities {
  readonly #rules: readonly Rule[];

  /** Throws OptionError when the text is no list of patterns with numbers. */
  constructor(text: string) {
    this.#rules = text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map((part) => parseRule(part, text));
  }

  /** The weight of a name, of which the path may be known; higher is kept longer. */
  weightOf(name: ByteString | null, path: ByteString | undefined): number {
    if (this.#rules.length === 0) return defaultWeight;
    let weight = 0;
    for (const rule of this.#rules) {
      const fits = (name !== null && rule.pattern.test(name)) || (path !== undefined && rule.pattern.test(path));
      if (fits) weight = rule.weight;
    }
    return weight;
  }
}

function parseRule(part: string, text: string): Rule {
  const match = /^(.+):(\d{1,9})$/.exec(part);
  if (!match) throw new OptionError('priority', `option priority ${text}: '${part}' is not a valid priority-list`);
  return { pattern: globPattern(match[1]!), weight: Number(match[2]) };
}

/** `*`, `?` and `[a-z]` of a shell pattern; '/' is a character like any other. */
export function globPattern(glob: string): RegExp {
  let source = '';
  for (let at = 0; at < glob.length; at++) {
    const c = glob[at]!;
    const set = c === '[' ? /^\[([!^]?)(\]?[^\]]*)\]/.exec(glob.slice(at)) : null;
    if (c === '*') source += '.*';
    else if (c === '?') source += '.';
    else if (set) {
      source += `[${set[1] ? '^' : ''}${set[2]!.replace(/[\\\]^[]/g, '\\$&')}]`;
      at += set[0].length - 1;
    } else source += c.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  }
  return new RegExp(`^${source}$`, 's');
}
