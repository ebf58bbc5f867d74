/** The documents of `--xml` as JSON: the same names and values (docs/cli.md). */
import type { Element } from './xml.ts';

/** What there may be several of is an array, also when there is one. */
const lists = new Set([
  ...['volume', 'brick', 'peer', 'node', 'option', 'task', 'client', 'file', 'lock', 'fop', 'block', 'Opt', 'crawl'],
]);

type Json = string | number | { [name: string]: Json } | Json[];

export function jsonText(children: readonly Element[]): string {
  return `${JSON.stringify(objectOf(children), null, 2)}\n`;
}

function objectOf(children: readonly Element[], parent = '', listed: readonly string[] = []): { [name: string]: Json } {
  const object: { [name: string]: Json } = Object.create(null);
  for (const child of children) {
    const { name } = child;
    const value = jsonOf(child);
    const known = object[name];
    if (Array.isArray(known)) known.push(value);
    else if (known !== undefined) object[name] = [known, value];
    else object[name] = lists.has(name) || parent === `${name}s` || listed.includes(name) ? [value] : value;
  }
  for (const name of listed) object[name] ??= [];
  return object;
}

function jsonOf({ name, attributes, text, number, children, listed, inline }: Element): Json {
  const value =
    inline === undefined ? (children ? objectOf(children, name, listed) : (number ?? text ?? '')) : fieldsOf(inline);
  if (!attributes) return value;
  return typeof value === 'object' && !Array.isArray(value) ? { ...attributes, ...value } : { ...attributes, value };
}

/** Mixed content: the fields in it; the text beside them is one of them again. */
function fieldsOf(markup: string): { [name: string]: Json } {
  const plain = (text: string) => text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  const fields = [...markup.matchAll(/<(\w+)>([^<]*)<\/\1>/g)].map(([, name, text]) => [name!, plain(text!)] as const);
  return Object.fromEntries(fields);
}
