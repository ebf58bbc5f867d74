/** XML as libxml's writer indents it: two blanks a level, an empty element closed in itself. */
import type { Flags } from './flags.ts';
import type { Io } from './io.ts';
import { jsonText } from './json.ts';

export interface Element {
  name: string;
  attributes?: Record<string, string>;
  /** Text, elements, or ready markup on one line (`inline`), as mixed content is not indented. */
  text?: string;
  /** The text is this number. */
  number?: number;
  children?: Element[];
  /** Names of children of which there may be any number: JSON has a list of them, also of one or none. */
  listed?: readonly string[];
  inline?: string;
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (c) => (c === '&' ? '&amp;' : c === '<' ? '&lt;' : '&gt;'));
}

/** `listed`: names of children of which there may be any number. */
export function element(name: string, content: string | number | Element[] = '', ...listed: string[]): Element {
  if (typeof content === 'object') return { name, children: content, listed };
  return typeof content === 'number' ? { name, text: String(content), number: content } : { name, text: content };
}

function print(node: Element, indent: string): string {
  const attributes = Object.entries(node.attributes ?? {}).map(
    ([name, value]) => ` ${name}="${escapeXml(value).replaceAll('"', '&quot;')}"`,
  );
  const open = `${indent}<${node.name}${attributes.join('')}`;
  const inner = node.inline ?? (node.text === undefined ? '' : escapeXml(node.text));
  if (inner !== '') return `${open}>${inner}</${node.name}>\n`;
  const children = node.children ?? [];
  if (children.length === 0) return `${open}/>\n`;
  return `${open}>\n${children.map((child) => print(child, `${indent}  `)).join('')}${indent}</${node.name}>\n`;
}

/** A whole `<cliOutput>` document. */
export function cliOutput(children: Element[]): string {
  return `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n${print(element('cliOutput', children), '')}`;
}

/** A whole document, in the form that was asked for. */
export function printDocument({ io, flags }: { io: Io; flags: Pick<Flags, 'json'> }, children: Element[]): void {
  io.out(flags.json ? jsonText(children) : cliOutput(children));
}

/** `opRet`, `opErrno` and `opErrstr`, with which nearly every document begins. */
export function outcome(ret: number, errno = 0, text = ''): Element[] {
  return [element('opRet', ret), element('opErrno', errno), element('opErrstr', text)];
}
