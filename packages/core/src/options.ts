/**
 * Options of translators as data. From one table come the checks, `volume set help`, `volume get all`, the reference
 * in docs and the tests. Wording of errors and the units are GlusterFS's (docs/options.md).
 */
import { z } from 'zod';
import { type AddressRule, parseAddressRules } from './address-rules.ts';
import { nearest } from './nearest.ts';

export type OptionKind =
  | 'bool'
  | 'int'
  | 'size'
  | 'percent'
  | 'percent-or-size'
  | 'time'
  | 'double'
  | 'text'
  | 'choice'
  | 'path'
  | 'address'
  | 'address-list'
  | 'subvolume';

export interface Option<T> {
  readonly kind: OptionKind;
  /** Parses the text of a volfile; the issue's message is GlusterFS's sentence about `name` and the text. */
  readonly schema: (name: string) => z.ZodType<T, string>;
  readonly default: T;
  /** The default as GlusterFS prints it. */
  readonly defaultText: string;
  readonly description: string;
  /** Taken for the sake of volumes that have it set, and read by nobody: the description says why there is no need. */
  readonly withoutEffect: boolean;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** Other names under which a volfile may give it. */
  readonly aliases: readonly string[];
  /** Whether `reconfigure` takes it; else a new graph is built. */
  readonly live: boolean;
}

export interface OptionDetails {
  description: string;
  withoutEffect?: boolean;
  min?: number;
  max?: number;
  aliases?: readonly string[];
  live?: boolean;
}

export type OptionTable = Record<string, Option<unknown>>;
export type OptionValues<T extends OptionTable> = { [K in keyof T]: T[K] extends Option<infer V> ? V : never };

type Parsed<T> = { value: T } | { error: string };

function make<T>(
  kind: OptionKind,
  defaultText: string,
  details: OptionDetails,
  parse: (text: string, name: string) => Parsed<T>,
  choices?: readonly string[],
  absent?: T,
): Option<T> {
  const schema = (name: string) =>
    z.string().transform((text, context): T => {
      const result = parse(text, name);
      if ('value' in result) return result.value;
      context.addIssue({ code: 'custom', message: result.error });
      return z.NEVER;
    }) as unknown as z.ZodType<T, string>;
  const parsed = defaultText === '' && absent !== undefined ? { value: absent } : parse(defaultText, kind);
  if ('error' in parsed) throw new Error(`default of an option does not parse: ${parsed.error}`);
  const { description, withoutEffect = false, min, max, aliases = [], live = true } = details;
  return {
    kind,
    schema,
    default: parsed.value,
    defaultText,
    description,
    withoutEffect,
    aliases,
    live,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(choices ? { choices } : {}),
  };
}

const truth: Record<string, boolean> = {
  on: true,
  yes: true,
  true: true,
  enable: true,
  1: true,
  off: false,
  no: false,
  false: false,
  disable: false,
  0: false,
};

export function parseBool(text: string): boolean | undefined {
  return truth[text.toLowerCase()];
}

const sizeUnits: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
  tb: 2 ** 40,
  pb: 2 ** 50,
};

/** Bytes of `64MB`, `1.5gb`, `4096`; undefined if it is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?b)?$/i.exec(text.trim());
  if (!match) return /^0x[0-9a-f]+$/i.test(text) ? Number(text) : undefined;
  const value = Math.floor(Number(match[1]) * sizeUnits[(match[2] ?? '').toLowerCase()]!);
  return Number.isSafeInteger(value) ? value : undefined;
}

const timeUnits: Record<string, number> = {
  '': 1,
  s: 1,
  sec: 1,
  m: 60,
  min: 60,
  h: 3600,
  hr: 3600,
  d: 86400,
  days: 86400,
  w: 604800,
  wk: 604800,
};

/** Seconds of `10`, `10s`, `2min`, `1hr`, `1days`, `1wk`; undefined if it is no time. */
export function parseTime(text: string): number | undefined {
  const match = /^(\d+)\s*([a-z]*)$/i.exec(text.trim());
  if (!match) return undefined;
  const unit = timeUnits[match[2]!.toLowerCase()];
  return unit === undefined ? undefined : Number(match[1]) * unit;
}

function inRange<T extends number>(
  value: T,
  text: string,
  name: string,
  { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: OptionDetails,
): Parsed<T> {
  if (value >= min && value <= max) return { value };
  const bounds = Number.isFinite(max) ? `[${min} - ${max}]` : `(minimum ${min})`;
  return { error: `'${text}' in 'option ${name} ${text}' is out of range ${bounds}` };
}

export const option = {
  bool: (defaultText: 'on' | 'off' | 'yes' | 'no' | 'enable' | 'disable' | 'true' | 'false', details: OptionDetails) =>
    make<boolean>('bool', defaultText, details, (text, name) => {
      const value = parseBool(text);
      return value === undefined
        ? { error: `option ${name} ${text}: '${text}' is not a valid boolean value` }
        : { value };
    }),
  int: (defaultText: string, details: OptionDetails) =>
    make<number>('int', defaultText, details, (text, name) => {
      if (!/^-?(0x[0-9a-f]+|\d+)$/i.test(text)) return { error: `invalid number format "${text}" in option "${name}"` };
      // As strtol: a leading 0 means octal.
      const octal = /^-?0[0-7]+$/.test(text);
      return inRange(octal ? Number.parseInt(text, 8) : Number(text), text, name, details);
    }),
  /** Bytes. */
  size: (defaultText: string, details: OptionDetails) =>
    make<number>('size', defaultText, details, (text, name) => {
      const value = parseSize(text);
      return value === undefined
        ? { error: `invalid number format "${text}" in option "${name}"` }
        : inRange(value, text, name, details);
    }),
  /** Seconds. */
  time: (defaultText: string, details: OptionDetails) =>
    make<number>('time', defaultText, details, (text, name) => {
      const value = parseTime(text);
      return value === undefined
        ? { error: `invalid time format "${text}" in "option ${name}"` }
        : inRange(value, text, name, details);
    }),
  double: (defaultText: string, details: OptionDetails) =>
    make<number>('double', defaultText, details, (text, name) => {
      const value = Number(text);
      if (text.trim() === '' || !Number.isFinite(value))
        return { error: `invalid number format "${text}" in option "${name}"` };
      return inRange(value, text, name, details);
    }),
  percent: (defaultText: string, details: OptionDetails) =>
    make<number>('percent', defaultText, details, (text, name) => {
      const match = /^(\d+(?:\.\d+)?)\s*%?$/.exec(text);
      if (!match) return { error: `invalid percent format "${text}" in "option ${name}"` };
      const value = Number(match[1]);
      if (value > 100) return { error: `'${value.toFixed(6)}' in 'option ${name} ${text}' is out of range [0 - 100]` };
      return { value };
    }),
  /** `{percent}` or `{bytes}`. */
  percentOrSize: (defaultText: string, details: OptionDetails) =>
    make<{ percent: number } | { bytes: number }>('percent-or-size', defaultText, details, (text, name) => {
      if (text.endsWith('%')) {
        const percent = Number(text.slice(0, -1));
        if (!Number.isFinite(percent)) return { error: `invalid number format "${text}" in option "${name}"` };
        if (percent < 0 || percent > 100)
          return { error: `'${percent.toFixed(6)}' in 'option ${name} ${text}' is out of range [0 - 100]` };
        return { value: { percent } };
      }
      const bytes = parseSize(text);
      return bytes === undefined
        ? { error: `invalid number format "${text}" in option "${name}"` }
        : { value: { bytes } };
    }),
  text: (defaultText: string, details: OptionDetails) =>
    make<string>('text', defaultText, details, (value) => ({ value })),
  choice: <const C extends readonly string[]>(choices: C, defaultText: C[number], details: OptionDetails) =>
    make<C[number]>(
      'choice',
      defaultText,
      details,
      (text, name) =>
        (choices as readonly string[]).includes(text)
          ? { value: text as C[number] }
          : { error: `option ${name} ${text}: '${text}' is not valid (possible options are ${choices.join(', ')}.)` },
      choices,
    ),
  path: (details: OptionDetails) =>
    make<string>(
      'path',
      '',
      details,
      (text, name) =>
        text.startsWith('/')
          ? { value: text }
          : { error: `invalid path given '${text}' in option ${name}: an absolute path is expected` },
      undefined,
      '',
    ),
  address: (defaultText: string, details: OptionDetails) =>
    make<string>('address', defaultText, details, (text, name) =>
      text === '' || isAddress(text)
        ? { value: text }
        : { error: `option ${name} ${text}: '${text}' is not a valid internet-address` },
    ),
  addressList: (defaultText: string, details: OptionDetails) =>
    make<readonly string[]>('address-list', defaultText, details, (text, name) => {
      const value = text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
      return value.every(isAddress)
        ? { value }
        : { error: `option ${name} ${text}: '${text}' is not a valid internet-address-list` };
    }),
  /** Addresses for the whole, or for directories of it (address-rules.ts). */
  addressRules: (defaultText: string, details: OptionDetails) =>
    make<readonly AddressRule[]>('address-list', defaultText, details, (text, name) => {
      const value = parseAddressRules(text);
      return value?.every(({ addresses }) => addresses.every(isAddress))
        ? { value }
        : { error: `option ${name} ${text}: '${text}' is not a valid internet-address-list` };
    }),
} as const;

function isAddress(text: string): boolean {
  if (/^[\d.*]+$/.test(text))
    return text.split('.').every((part) => part === '*' || (part !== '' && Number(part) <= 255));
  if (/^[\d./]+$/.test(text)) return true;
  return /^[A-Za-z0-9_.:*%/[\]-]+$/.test(text);
}

export class OptionError extends Error {
  readonly code = 'EOPTION';
  readonly option: string;

  constructor(option: string, message: string) {
    super(message);
    this.option = option;
  }
}

/**
 * Where an option with aliases is in the table: its own name, or undefined. A name in the table may hold a `*` for any
 * text (`auth.addr.*.allow`): such options are checked one by one; the translator finds them in its texts.
 */
export function optionNamed(table: OptionTable, name: string): string | undefined {
  if (Object.hasOwn(table, name)) return name;
  const names = Object.keys(table);
  return names.find((key) => table[key]!.aliases.includes(name)) ?? names.find((key) => matches(key, name));
}

function matches(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*');
  if (star < 0 || name.length < pattern.length - 1) return false;
  return name.startsWith(pattern.slice(0, star)) && name.endsWith(pattern.slice(star + 1));
}

export interface ParsedOptions<T extends OptionTable> {
  values: OptionValues<T>;
  /** Names that the table does not have, each with the nearest it has; ignored with a warning, as GlusterFS does. */
  unknown: { name: string; nearest: string | undefined }[];
}

/** Values for a whole table: given texts parsed, the rest by default. Throws OptionError on the first bad one. */
export function parseOptions<T extends OptionTable>(table: T, texts: ReadonlyMap<string, string>): ParsedOptions<T> {
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(table)) values[name] = spec.default;
  const unknown: ParsedOptions<T>['unknown'] = [];
  for (const [given, text] of texts) {
    const name = optionNamed(table, given);
    if (name === undefined) {
      unknown.push({ name: given, nearest: nearest(given, Object.keys(table)) });
      continue;
    }
    const result = table[name]!.schema(name).safeParse(text);
    if (!result.success) throw new OptionError(name, result.error.issues[0]!.message);
    values[name] = result.data;
  }
  return { values: values as OptionValues<T>, unknown };
}
