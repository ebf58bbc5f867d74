/** Builds translators from a volfile, binds them, and takes them through their life. */
import { nearest } from './nearest.ts';
import { OptionError, type OptionTable, optionNamed, parseOptions } from './options.ts';
import type { Position, Volfile, VolumeNode } from './volfile/types.ts';
import { keptTogether, type Services, type Xlator, type XlatorInit, type XlatorType } from './xlator.ts';

export type Registry = ReadonlyMap<string, XlatorType>;

export class GraphError extends Error {
  readonly code = 'EGRAPH';
  readonly node: VolumeNode | undefined;

  /** `at`: what of the node is wrong; its name, if nothing else is known. */
  constructor(message: string, node?: VolumeNode, at: Position | undefined = node?.at) {
    super(node && at ? `${placeText(at)}: volume ${node.name}: ${message}` : message);
    this.node = node;
  }
}

function placeText({ file, line, column }: Position): string {
  return `${file}:${line}:${column}`;
}

export interface Graph {
  readonly volfile: Volfile;
  /** The translator that requests enter by: the last volume of the file, or the one asked for. */
  readonly top: Xlator;
  readonly xlators: ReadonlyMap<string, Xlator>;
  readonly id: number;
}

export interface BuildOptions {
  /** Enter here instead of at the last volume. */
  volumeName?: string;
  /** Overrides from the command line: `[name or pattern, option, value]`. */
  overrides?: readonly XlatorOverride[];
  id?: number;
}

/** `--xlator-option *-posix.glusterd-uuid=U`: `*` stands for any text in the volume's name. */
export interface XlatorOverride {
  readonly volume: string;
  readonly option: string;
  readonly value: string;
}

/** `types`: those that there are. */
export function unknownType(node: VolumeNode, types: Iterable<string>): GraphError {
  const near = nearest(node.type, types);
  const text = `unknown translator type '${node.type}'${near ? `; did you mean '${near}'?` : ''}`;
  return new GraphError(text, node, node.places?.type);
}

export function typeOf(node: VolumeNode, registry: Registry): XlatorType {
  const found = registry.get(node.type);
  if (!found) throw unknownType(node, registry.keys());
  return found;
}

export function textsOf(node: VolumeNode, type: XlatorType, overrides: readonly XlatorOverride[]): Map<string, string> {
  const texts = new Map(node.options);
  for (const { volume, option, value } of overrides) {
    const pattern = new RegExp(`^${volume.split('*').map(escapeRegExp).join('.*')}$`);
    if (pattern.test(node.name)) texts.set(keyOf(type.options, option), value);
  }
  return texts;
}

/** The key that an override has among the texts: of aliases the option's own name. */
function keyOf(table: OptionTable, option: string): string {
  const known = optionNamed(table, option);
  return known === undefined || known.includes('*') ? option : known;
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

export function makeXlator(node: VolumeNode, type: XlatorType, texts: Map<string, string>, services: Services): Xlator {
  const { min, max } = type.subvolumes;
  const count = node.subvolumes.length;
  if (count < min || count > max) {
    const expected = min === max ? `${min}` : max === Number.POSITIVE_INFINITY ? `at least ${min}` : `${min} to ${max}`;
    throw new GraphError(`${node.type} takes ${expected} subvolume(s), found ${count}`, node);
  }
  try {
    const { values, unknown } = parseOptions(type.options, texts);
    for (const { name, nearest: near } of unknown) {
      const place = node.places?.options.get(name)?.name;
      const where = place === undefined ? '' : ` (${placeText(place)})`;
      const text = `option '${name}' is not recognized${near ? `; did you mean '${near}'?` : ''}${where}`;
      services.log.write('WARNING', node.name, text, 101174);
    }
    const init: XlatorInit = { name: node.name, type: node.type, options: values, texts, services };
    return type.create(init);
  } catch (error) {
    throw error instanceof OptionError ? wrongOption(error, node, type, texts) : error;
  }
}

export function wrongOption(
  { message, option }: OptionError,
  node: VolumeNode,
  type: XlatorType,
  texts: ReadonlyMap<string, string>,
): GraphError {
  return new GraphError(message, node, valuePlace(node, type, option, texts));
}

/** Where the value of an option stands, unless it came from the command line. `option`: its own name, not an alias. */
function valuePlace(
  node: VolumeNode,
  { options }: XlatorType,
  option: string,
  texts: ReadonlyMap<string, string>,
): Position | undefined {
  const given = [...node.options].find(
    ([name, text]) => optionNamed(options, name) === option && texts.get(name) === text,
  );
  return given && node.places?.options.get(given[0])?.value;
}

/** Makes and binds all translators that the entry needs. Nothing is started; a failure leaves nothing behind. */
export function buildGraph(volfile: Volfile, registry: Registry, services: Services, build: BuildOptions = {}): Graph {
  const nodes = new Map(volfile.volumes.map((node) => [node.name, node]));
  const topNode = build.volumeName === undefined ? volfile.volumes.at(-1) : nodes.get(build.volumeName);
  if (!topNode)
    throw new GraphError(
      build.volumeName === undefined ? 'the volfile has no volume' : `the volfile has no volume '${build.volumeName}'`,
    );
  const xlators = new Map<string, Xlator>();
  const make = (node: VolumeNode): Xlator => {
    const known = xlators.get(node.name);
    if (known) return known;
    const children = node.subvolumes.map((name) => make(nodes.get(name)!));
    const type = typeOf(node, registry);
    const xlator = makeXlator(node, type, textsOf(node, type, build.overrides ?? []), services);
    xlator.bind(
      children.map((child) => child.ops),
      type.fops,
    );
    xlator.keeps = keptTogether([type.keeps ?? 'all', ...children.map((child) => child.keeps)]);
    for (const child of children) child.parents = [...child.parents, xlator];
    xlators.set(node.name, xlator);
    return xlator;
  };
  try {
    return { volfile, top: make(topNode), xlators, id: build.id ?? 0 };
  } catch (error) {
    for (const xlator of xlators.values()) services.inodes.freeSlot(xlator.slot);
    throw error;
  }
}

/** Children first. When one fails, those already begun are ended again, and nothing of the graph is left. */
export async function startGraph(graph: Graph): Promise<void> {
  await initAll([...graph.xlators.values()]);
  graph.top.notify({ type: 'parent-up' }, null);
}

/** Children first. When one fails, those already begun are ended again, and the slots of all are free. */
export async function initAll(xlators: readonly Xlator[]): Promise<void> {
  const begun: Xlator[] = [];
  try {
    for (const xlator of xlators) {
      begun.push(xlator);
      await xlator.init();
    }
  } catch (error) {
    for (const xlator of begun.reverse()) await xlator.fini().catch(() => undefined);
    for (const xlator of xlators) xlator.services.inodes.freeSlot(xlator.slot);
    throw error;
  }
}

/** Parents first; frees the translators' slots in the inode table. */
export async function stopGraph(graph: Graph): Promise<void> {
  const parentsFirst = [...graph.xlators.values()].reverse();
  // What is delayed goes to the children while they still listen.
  for (const xlator of parentsFirst) await xlator.drain();
  graph.top.notify({ type: 'parent-down' }, null);
  for (const xlator of parentsFirst) {
    await xlator.fini();
    xlator.services.inodes.freeSlot(xlator.slot);
  }
}

/** Whether two volfiles differ only in options that every translator concerned takes live. */
export function canReconfigure(from: Volfile, to: Volfile, registry: Registry): boolean {
  if (from.volumes.length !== to.volumes.length) return false;
  return from.volumes.every((before, i) => {
    const after = to.volumes[i]!;
    if (before.name !== after.name || before.type !== after.type) return false;
    if (before.subvolumes.join(' ') !== after.subvolumes.join(' ')) return false;
    const table = registry.get(before.type)?.options;
    return table !== undefined && changedOptions(before, after).every((name) => isLive(table, name));
  });
}

export function isLive(table: OptionTable, name: string): boolean {
  const known = optionNamed(table, name);
  return known === undefined || table[known]!.live;
}

function changedOptions(before: VolumeNode, after: VolumeNode): string[] {
  const names = new Set([...before.options.keys(), ...after.options.keys()]);
  return [...names].filter((name) => before.options.get(name) !== after.options.get(name));
}

/** Gives a running graph the options of a new volfile for which `canReconfigure` holds. */
export function reconfigureGraph(
  graph: Graph,
  to: Volfile,
  registry: Registry,
  overrides: readonly XlatorOverride[] = [],
): Graph {
  for (const node of to.volumes) {
    const xlator = graph.xlators.get(node.name);
    if (!xlator) continue;
    const type = typeOf(node, registry);
    const texts = textsOf(node, type, overrides);
    const { values } = parseOptions(type.options, texts);
    xlator.texts = texts;
    xlator.reconfigure(values, texts);
  }
  return { ...graph, volfile: to };
}
