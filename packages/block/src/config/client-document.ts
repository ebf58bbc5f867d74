/**
 * `rscltcfg` as a text that is changed: whatever is not changed stays as it was, comments and spaces among it. Meaning and
 * checks are the parser's (client-config.ts).
 */
interface Block {
  /** Of the section; null: what stands before the first one. */
  kind: string | null;
  name: string;
  /** Comments right above the section, its head, and what follows. */
  lines: string[];
}

export interface SectionView {
  readonly name: string;
  readonly values: ReadonlyMap<string, string>;
}

export interface NamespaceView extends SectionView {
  readonly servers: readonly SectionView[];
}

export type Values = Readonly<Record<string, string>>;

const headForm = /^\s*\[\s*([a-z]+)(?:\s+([^\]\s]+))?\s*\]\s*$/;
const assignmentForm = /^(\s*)([a-z][a-z0-9-]*)(\s*=\s*)(.*?)(\s*)$/;
const isComment = (line: string) => line.trim().startsWith('#');

export class ClientDocument {
  readonly #blocks: Block[] = [{ kind: null, name: '', lines: [] }];

  constructor(text: string) {
    const lines = text.replace(/\r\n/g, '\n').split('\n');
    if (lines.at(-1) === '') lines.pop();
    for (const line of lines) {
      const head = headForm.exec(line);
      const last = this.#blocks.at(-1)!;
      if (!head) {
        last.lines.push(line);
        continue;
      }
      let from = last.lines.length;
      while (from > 0 && isComment(last.lines[from - 1]!)) from--;
      this.#blocks.push({ kind: head[1]!, name: head[2] ?? '', lines: [...last.lines.splice(from), line] });
    }
  }

  get text(): string {
    const lines = this.#blocks.flatMap(({ lines: own }) => own);
    return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
  }

  get interfaces(): readonly SectionView[] {
    return this.#blocks.filter(({ kind }) => kind === 'interface').map(viewOf);
  }

  get defaults(): ReadonlyMap<string, string> {
    const block = this.#blocks.find(({ kind }) => kind === 'defaults');
    return block ? viewOf(block).values : new Map();
  }

  /** A server belongs to the namespace before it. */
  get namespaces(): readonly NamespaceView[] {
    const all: { name: string; values: ReadonlyMap<string, string>; servers: SectionView[] }[] = [];
    for (const block of this.#blocks) {
      if (block.kind === 'namespace') all.push({ ...viewOf(block), servers: [] });
      else if (block.kind === 'server') all.at(-1)?.servers.push(viewOf(block));
    }
    return all;
  }

  /** After the last interface, else before the first namespace. */
  addInterface(name: string, values: Values): void {
    const last = this.#blocks.findLastIndex(({ kind }) => kind === 'interface' || kind === 'defaults' || kind === null);
    this.#insert(last + 1, 'interface', name, values);
  }

  addNamespace(name: string, values: Values): void {
    this.#insert(this.#blocks.length, 'namespace', name, values);
  }

  addServer(namespace: string, name: string, values: Values): void {
    this.#insert(this.#ofNamespace(namespace).end, 'server', name, values);
  }

  /** Absent values are left as they are, empty ones are taken away. */
  changeInterface(name: string, to: string, values: Values): void {
    change(this.#find('interface', name), to, values);
  }

  changeNamespace(name: string, to: string, values: Values): void {
    change(this.#find('namespace', name), to, values);
  }

  changeServer(namespace: string, name: string, to: string, values: Values): void {
    change(this.#server(namespace, name), to, values);
  }

  removeInterface(name: string): void {
    this.#blocks.splice(this.#blocks.indexOf(this.#find('interface', name)), 1);
  }

  /** With its servers. */
  removeNamespace(name: string): void {
    const { begin, end } = this.#ofNamespace(name);
    this.#blocks.splice(begin, end - begin);
  }

  removeServer(namespace: string, name: string): void {
    this.#blocks.splice(this.#blocks.indexOf(this.#server(namespace, name)), 1);
  }

  #find(kind: string, name: string): Block {
    const found = this.#blocks.find((block) => block.kind === kind && block.name === name);
    if (!found) throw new Error(`there is no [${kind} ${name}]`);
    return found;
  }

  /** The places of a namespace and what belongs to it. */
  #ofNamespace(name: string): { begin: number; end: number } {
    const begin = this.#blocks.indexOf(this.#find('namespace', name));
    let end = begin + 1;
    while (this.#blocks[end]?.kind === 'server') end++;
    return { begin, end };
  }

  #server(namespace: string, name: string): Block {
    const { begin, end } = this.#ofNamespace(namespace);
    const found = this.#blocks.slice(begin, end).find((block) => block.kind === 'server' && block.name === name);
    if (!found) throw new Error(`there is no [server ${name}] in namespace ${namespace}`);
    return found;
  }

  #insert(at: number, kind: string, name: string, values: Values): void {
    const before = this.#blocks[at - 1];
    if (before && before.lines.length > 0 && before.lines.at(-1)?.trim() !== '') before.lines.push('');
    const block: Block = { kind, name, lines: [`[${kind} ${name}]`] };
    change(block, name, values);
    if (at < this.#blocks.length) block.lines.push('');
    this.#blocks.splice(at, 0, block);
  }
}

function viewOf({ name, lines }: Block): SectionView {
  const values = new Map<string, string>();
  for (const line of lines) {
    const found = isComment(line) ? null : assignmentForm.exec(line);
    if (found) values.set(found[2]!, found[4]!);
  }
  return { name, values };
}

function change(block: Block, to: string, values: Values): void {
  if (block.name !== to) {
    const head = block.lines.findIndex((line) => headForm.test(line));
    block.lines[head] = `[${block.kind} ${to}]`;
    block.name = to;
  }
  for (const [key, value] of Object.entries(values)) {
    const at = block.lines.findIndex((line) => !isComment(line) && assignmentForm.exec(line)?.[2] === key);
    if (at < 0 && value !== '') block.lines.splice(lastUsed(block) + 1, 0, `${key.padEnd(13)} = ${value}`);
    else if (at >= 0 && value === '') block.lines.splice(at, 1);
    else if (at >= 0) {
      const [, indent, , equals] = assignmentForm.exec(block.lines[at]!)!;
      block.lines[at] = `${indent}${key}${equals}${value}`;
    }
  }
}

/** Behind which a new line of the section goes. */
function lastUsed({ lines }: Block): number {
  return lines.findLastIndex((line) => line.trim() !== '' && !isComment(line));
}

/** A name for the section of an address, that none of `taken` is: `if0`, `big-9-1`. */
export function freeName(base: string, first: number, taken: Iterable<string>): string {
  const used = new Set(taken);
  for (let i = first; ; i++) if (!used.has(`${base}${i}`)) return `${base}${i}`;
}
