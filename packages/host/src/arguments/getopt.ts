/**
 * GNU long options as glusterfs takes them: `--name value`, `--name=value`, `-x value`, `-xvalue`, optional values
 * (`--name[=value]`), abbreviated names, options behind words, `--`. (`util.parseArgs` has neither optional values nor
 * abbreviations.)
 */
import { nearest } from '@mortar/core/nearest.ts';

export interface OptionSpec {
  /** One letter. */
  readonly short?: string;
  readonly value: 'none' | 'required' | 'optional';
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export class UsageError extends Error {
  readonly code = 'EUSAGE';
}

export interface Parsed {
  /** In the order given; an optional value that is absent is null. */
  readonly options: readonly { readonly name: string; readonly value: string | null }[];
  readonly words: readonly string[];
}

export function parseArguments(args: readonly string[], specs: OptionSpecs): Parsed {
  const options: { name: string; value: string | null }[] = [];
  const words: string[] = [];
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === '--') {
      words.push(...rest.splice(0));
    } else if (arg.startsWith('--')) {
      options.push(longOption(arg, rest, specs));
    } else if (arg.startsWith('-') && arg.length > 1) {
      options.push(...shortOptions(arg.slice(1), rest, specs));
    } else {
      words.push(arg);
    }
  }
  return { options, words };
}

function longOption(arg: string, rest: string[], specs: OptionSpecs): { name: string; value: string | null } {
  const equals = arg.indexOf('=');
  const given = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
  const attached = equals < 0 ? null : arg.slice(equals + 1);
  const name = fullName(given, specs);
  const spec = specs[name]!;
  if (spec.value === 'none' && attached !== null) throw new UsageError(`option '--${name}' doesn't allow an argument`);
  if (spec.value !== 'required' || attached !== null) return { name, value: attached };
  const value = rest.shift();
  if (value === undefined) throw new UsageError(`option '--${name}' requires an argument`);
  return { name, value };
}

function fullName(given: string, specs: OptionSpecs): string {
  if (Object.hasOwn(specs, given)) return given;
  const starting = Object.keys(specs).filter((name) => name.startsWith(given));
  if (starting.length === 1) return starting[0]!;
  if (starting.length > 1)
    throw new UsageError(
      `option '--${given}' is ambiguous; possibilities: ${starting.map((n) => `'--${n}'`).join(' ')}`,
    );
  const near = nearest(given, Object.keys(specs));
  throw new UsageError(`unrecognized option '--${given}'${near ? `; did you mean '--${near}'?` : ''}`);
}

function* shortOptions(
  letters: string,
  rest: string[],
  specs: OptionSpecs,
): Generator<{ name: string; value: string | null }> {
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i]!;
    const found = Object.entries(specs).find(([, spec]) => spec.short === letter);
    if (!found) throw new UsageError(`invalid option -- '${letter}'`);
    const [name, spec] = found;
    if (spec.value === 'none') {
      yield { name, value: null };
      continue;
    }
    const attached = letters.slice(i + 1);
    const value = attached !== '' ? attached : spec.value === 'required' ? rest.shift() : null;
    if (value === undefined) throw new UsageError(`option requires an argument -- '${letter}'`);
    yield { name, value };
    return;
  }
}
