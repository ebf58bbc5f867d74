/**
 * A running graph becomes that of another volfile in place: what stays keeps its state, its connections and its files. For processes whose
 * graph cannot stand twice beside each other, such as a brick: it listens at one port, and its locks are in a translator.
 */
import {
  type Graph,
  GraphError,
  initAll,
  isLive,
  makeXlator,
  type Registry,
  textsOf,
  typeOf,
  wrongOption,
  type XlatorOverride,
} from './graph.ts';
import { OptionError, type OptionTable, type OptionValues, parseOptions } from './options.ts';
import type { Volfile, VolumeNode } from './volfile/types.ts';
import { keptTogether, type Services, type Xlator, type XlatorType } from './xlator.ts';

export interface AlteredGraph {
  readonly graph: Graph;
  readonly added: readonly Xlator[];
  /** No new request reaches them. The caller ends them when those under way are over. */
  readonly removed: readonly Xlator[];
  /** Options that only a new graph could take, `TRANSLATOR: OPTION`; what was in force stays so. */
  readonly waiting: readonly string[];
}

interface Part {
  readonly node: VolumeNode;
  readonly type: XlatorType;
  readonly xlator: Xlator;
  /** Of a translator that stays: its options from now on. */
  readonly taken?: Taken;
}

interface Taken {
  readonly values: OptionValues<OptionTable>;
  readonly texts: ReadonlyMap<string, string>;
  readonly waiting: readonly string[];
}

/** Throws GraphError, or what the start of a new translator throws; then nothing has changed. */
export async function alterGraph(
  graph: Graph,
  to: Volfile,
  registry: Registry,
  services: Services,
  overrides: readonly XlatorOverride[] = [],
): Promise<AlteredGraph> {
  const { top } = graph;
  const last = to.volumes.at(-1);
  if (last?.name !== top.name || last.type !== top.type)
    throw new GraphError(`the last volume is not ${top.name} of type ${top.type}, which serves`, last);
  const parts = partsOf(graph, to, { registry, services, overrides });
  const all = [...parts.values()];
  const added = all.filter(({ taken }) => taken === undefined).map(({ xlator }) => xlator);
  await initAll(added);
  join(parts, new Set(graph.xlators.values()));
  const xlators = new Map(all.map(({ xlator }) => [xlator.name, xlator]));
  return {
    graph: { ...graph, volfile: to, xlators },
    added,
    removed: [...graph.xlators.values()].filter((xlator) => xlators.get(xlator.name) !== xlator),
    waiting: all.flatMap(({ taken }) => taken?.waiting ?? []),
  };
}

interface Making {
  readonly registry: Registry;
  readonly services: Services;
  readonly overrides: readonly XlatorOverride[];
}

/** Children first. New translators are made, over their children as these are now; those that stay are only looked at. */
function partsOf(graph: Graph, to: Volfile, { registry, services, overrides }: Making): Map<string, Part> {
  const parts = new Map<string, Part>();
  const make = (node: VolumeNode): Part => {
    const type = typeOf(node, registry);
    const texts = textsOf(node, type, overrides);
    const known = graph.xlators.get(node.name);
    if (known?.type === node.type) return { node, type, xlator: known, taken: take(known, node, type, texts) };
    const part = { node, type, xlator: makeXlator(node, type, texts, services) };
    part.xlator.bind(
      childrenOf(parts, node).map((child) => child.ops),
      type.fops,
    );
    return part;
  };
  try {
    for (const node of childrenFirst(to)) parts.set(node.name, make(node));
  } catch (error) {
    for (const { xlator, taken } of parts.values()) if (!taken) services.inodes.freeSlot(xlator.slot);
    throw error;
  }
  return parts;
}

/** Options that are not live stay as they are in force. */
function take(xlator: Xlator, node: VolumeNode, type: XlatorType, texts: Map<string, string>): Taken {
  const waiting: string[] = [];
  for (const name of new Set([...texts.keys(), ...xlator.texts.keys()])) {
    const former = xlator.texts.get(name);
    if (isLive(type.options, name) || texts.get(name) === former) continue;
    waiting.push(`${node.name}: ${name}`);
    if (former === undefined) texts.delete(name);
    else texts.set(name, former);
  }
  try {
    return { values: parseOptions(type.options, texts).values, texts, waiting };
  } catch (error) {
    throw error instanceof OptionError ? wrongOption(error, node, type, texts) : error;
  }
}

/** In one go: a request enters the chain as it was or as it will be. */
function join(parts: ReadonlyMap<string, Part>, former: ReadonlySet<Xlator>): void {
  // Of who is not of the graph, as who serves it, they stay the children.
  for (const { xlator } of parts.values()) xlator.parents = xlator.parents.filter((parent) => !former.has(parent));
  for (const { node, type, xlator, taken } of parts.values()) {
    const children = childrenOf(parts, node);
    const isSame = children.every((child, i) => child.ops === xlator.children[i]);
    if (!isSame || children.length !== xlator.children.length)
      xlator.bind(
        children.map((child) => child.ops),
        type.fops,
      );
    xlator.keeps = keptTogether([type.keeps ?? 'all', ...children.map((child) => child.keeps)]);
    for (const child of children) child.parents = [...child.parents, xlator];
    if (!taken) continue;
    xlator.texts = taken.texts;
    xlator.reconfigure(taken.values, taken.texts);
  }
}

function childrenOf(parts: ReadonlyMap<string, Part>, { subvolumes }: VolumeNode): Xlator[] {
  return subvolumes.map((name) => parts.get(name)!.xlator);
}

/** What the last volume needs. */
function childrenFirst({ volumes }: Volfile): Set<VolumeNode> {
  const nodes = new Map(volumes.map((node) => [node.name, node]));
  const found = new Set<VolumeNode>();
  const visit = (node: VolumeNode): void => {
    for (const name of node.subvolumes) visit(nodes.get(name)!);
    found.add(node);
  };
  visit(volumes.at(-1)!);
  return found;
}
