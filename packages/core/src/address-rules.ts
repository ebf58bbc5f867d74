/**
 * The lists of `auth.allow`: addresses for the whole volume, or directories with the addresses that may mount them:
 * `10.0.*,node7` or `/(10.0.0.1),/home(10.0.1.*|node7)`.
 */
import { byteString, isValidName } from './bytes.ts';

export interface AddressRule {
  /** `/` is the whole volume. */
  readonly directory: string;
  readonly addresses: readonly string[];
}

function items(text: string, separator: string): string[] {
  return text
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** Null if it is no such list. What the addresses look like is not looked at. */
export function parseAddressRules(text: string): readonly AddressRule[] | null {
  if (!text.startsWith('/') && !text.includes('(')) return [{ directory: '/', addresses: items(text, ',') }];
  const rules: AddressRule[] = [];
  for (const entry of items(text, ',')) {
    const match = /^(\/[^()|]*)\(([^()]*)\)$/.exec(entry);
    const directory = match ? directoryPath(match[1]!) : null;
    const addresses = items(match?.[2] ?? '', '|');
    if (directory === null || addresses.length === 0) return null;
    rules.push({ directory, addresses });
  }
  return rules;
}

/** `/a/b` for `/a//b/`; `/` for the empty text; null if a part of it is no name of a directory. */
export function directoryPath(text: string): string | null {
  const names = text.split('/').filter((name) => name !== '');
  return names.every((name) => isValidName(byteString(name))) ? `/${names.join('/')}` : null;
}

/** Whether a directory is another one or below it. Both as `directoryPath` gives them. */
export function isWithin(directory: string, above: string): boolean {
  return above === '/' || directory === above || directory.startsWith(`${above}/`);
}
