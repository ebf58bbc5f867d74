/** Builds a volfile from the bricks up. */
import type { Volfile, VolumeNode } from '@mortar/core';
import { parseBool } from '@mortar/core';
import { type VolumeOption, volumeOptions } from './table.ts';

export interface Draft {
  readonly type: string;
  readonly name: string;
  /** In the order in which they were given; glusterd writes them in the reverse one. */
  readonly options: Map<string, string>;
  readonly children: readonly Draft[];
}

export class GraphBuilder {
  readonly drafts: Draft[] = [];

  /** A translator over the given ones. */
  over(
    children: readonly Draft[],
    type: string,
    name: string,
    options: Iterable<readonly [string, string]> = [],
  ): Draft {
    const draft: Draft = { type, name, options: new Map(options), children };
    this.drafts.push(draft);
    return draft;
  }

  /** A translator over the one made last. */
  add(type: string, name: string, options: Iterable<readonly [string, string]> = []): Draft {
    const top = this.drafts.at(-1);
    return this.over(top ? [top] : [], type, name, options);
  }

  has(name: string): boolean {
    return this.drafts.some((draft) => draft.name === name);
  }

  ofType(type: string): Draft[] {
    return this.drafts.filter((draft) => draft.type === type);
  }

  volfile(): Volfile {
    return { volumes: this.drafts.map(toNode) };
  }
}

function toNode(draft: Draft, index: number): VolumeNode {
  return {
    name: draft.name,
    type: draft.type,
    options: new Map([...draft.options].reverse()),
    subvolumes: draft.children.map((child) => child.name),
    at: { file: '(generated)', line: index + 1, column: 1 },
  };
}

/** Options of a volume as the generator sees them: those set, else what the table gives. */
export class EffectiveOptions {
  readonly set: Readonly<Record<string, string>>;

  constructor(set: Readonly<Record<string, string>>, forced: Readonly<Record<string, string>> = {}) {
    this.set = { ...set, ...forced };
  }

  /** The value of an entry, or undefined if its translator is left with its default. */
  of(entry: VolumeOption): string | undefined {
    return this.explicit(entry.key) ?? entry.value;
  }

  explicit(key: string): string | undefined {
    return Object.hasOwn(this.set, key) ? this.set[key] : undefined;
  }

  /** The value of a key: set, or given by the table. */
  value(key: string): string | undefined {
    return this.explicit(key) ?? volumeOptions.find((entry) => entry.key === key && entry.value !== undefined)?.value;
  }

  isOn(key: string): boolean {
    return parseBool(this.value(key) ?? '') === true;
  }
}

/** The name that a translator has for an entry in this graph, or undefined if the entry is not for this graph. */
export type OptionRule = (entry: VolumeOption) => string | undefined;

/** Gives every option of the table to the translators that it is for. */
export function applyOptions(builder: GraphBuilder, options: EffectiveOptions, rule: OptionRule): void {
  for (const entry of volumeOptions) {
    const name = rule(entry);
    const value = options.of(entry);
    if (name === undefined || value === undefined) continue;
    for (const draft of builder.ofType(entry.xlator)) setOption(draft, name, value);
  }
}

function setOption(draft: Draft, name: string, value: string): void {
  if (name !== 'ta-remote-port') draft.options.set(name, value);
  else if (draft.name.includes('-ta-')) draft.options.set('remote-port', value);
}

export const plainRule: OptionRule = (entry) => (entry.option.startsWith('!') ? undefined : entry.option);

export const roleOptions: ReadonlyMap<string, string> = new Map([
  ['!client-log-level', 'log-level'],
  ['!brick-log-level', 'log-level'],
  ['!sys-log-level', 'sys-log-level'],
  ['!logger', 'logger'],
  ['!log-format', 'log-format'],
  ['!log-buf-size', 'log-buf-size'],
  ['!log-flush-timeout', 'log-flush-timeout'],
  ['!client-threads', 'threads'],
  ['!brick-threads', 'threads'],
]);

/** Options of the process, which io-stats takes: they have one key for clients and one for bricks. */
export function roleRule(role: 'client' | 'brick'): OptionRule {
  return (entry) => (entry.key.includes(`${role}-`) ? roleOptions.get(entry.option) : undefined);
}

/** The heal daemon is told itself whether and how often it works. */
export const healRule: OptionRule = (entry) => {
  if (entry.option === '!self-heal-daemon' || entry.option === '!heal-timeout') return entry.option.slice(1);
  return plainRule(entry);
};
