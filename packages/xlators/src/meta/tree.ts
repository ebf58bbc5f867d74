/** The tree below `.meta`; names and forms are those that tools of GlusterFS read (docs/meta.md). */
import { type Log, printVolfile, VolfileError } from '@mortar/core';
import { asLatencyMeter } from '../lib/latency-meter.ts';
import type { MetaFacts, MetaGraph, MetaRoot } from './facts.ts';
import { levelNumber, levelOf } from './log-level.ts';
import {
  directory,
  entryName,
  file,
  link,
  listed,
  type MetaDirectory,
  type MetaNode,
  secretFile,
  valueLines,
  writableFile,
} from './node.ts';
import { optionsDirectory, xlatorDirectory } from './xlator-directory.ts';

export interface TreeOf {
  readonly facts: MetaFacts;
  readonly log: Log;
  readonly processUuid: string;
}

export function metaTree({ facts, log, processUuid }: TreeOf): MetaDirectory {
  const latency = new LatencySwitch(facts);
  const logging: Record<string, () => MetaNode> = { loglevel: () => logLevelFile(log) };
  const { logFile } = facts;
  if (logFile !== undefined) logging.logfile = () => link(() => logFile);
  return directory({
    graphs: () => graphsDirectory(facts),
    root: () => rootDirectory(facts.root()),
    logging: () => directory(logging),
    version: () => file(() => json({ 'Package Version': facts.version })),
    cmdline: () => file(() => json({ Cmdlinestr: facts.commandLine })),
    frames: () => file(() => json({ Stack: [], Call_Count: facts.callCount() })),
    process_uuid: () => file(() => `${processUuid}\n`),
    mallinfo: () => file(() => valueLines(facts.memory())),
    measure_latency: () => latency.file(),
  });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function graphsDirectory(facts: MetaFacts): MetaNode {
  return listed(() => {
    const graphs = facts.graphs();
    const active = graphs.at(-1);
    if (!active) return [];
    return [
      ['active', () => link(() => entryName(active.name))] as const,
      ...graphs.map((graph) => [graph.name, () => graphDirectory(graph)] as const),
    ];
  });
}

function graphDirectory({ volfile, top, running }: MetaGraph): MetaNode {
  return listed(() => [
    ['top', () => link(() => entryName(top))] as const,
    ['volfile', () => secretFile(() => volfileText(volfile))] as const,
    ...volfile.volumes.map(
      (node) => [node.name, () => xlatorDirectory(node, running?.xlators.get(node.name))] as const,
    ),
  ]);
}

function volfileText(volfile: MetaGraph['volfile']): string {
  try {
    return printVolfile(volfile);
  } catch (error) {
    if (error instanceof VolfileError) return `# ${error.message}\n`;
    throw error;
  }
}

function rootDirectory({ name, type, options, values }: MetaRoot): MetaNode {
  return directory({
    name: () => file(() => `${name}\n`),
    type: () => file(() => `${type}\n`),
    options: () => optionsDirectory(options),
    subvolumes: () => directory({}),
    private: () => file(() => valueLines(values)),
    history: () => file(() => ''),
    meminfo: () => file(() => ''),
    profile: () => file(() => ''),
    view: () => directory({}),
  });
}

function logLevelFile(log: Log): MetaNode {
  return writableFile(
    () => `${levelNumber(log.level)}\n`,
    (text) => {
      const level = levelOf(text);
      if (level) log.setLevel(level);
      return level !== undefined;
    },
  );
}

/** Measuring beside what the options say, in the graph that serves when it is switched. */
class LatencySwitch {
  readonly #facts: MetaFacts;
  #on = false;
  #graph: string | undefined;

  constructor(facts: MetaFacts) {
    this.#facts = facts;
  }

  file(): MetaNode {
    return writableFile(
      () => `${this.#on && this.#graph === this.#active?.name ? 1 : 0}\n`,
      (text) => {
        const word = text.trim();
        if (!/^\d{1,9}$/.test(word)) return false;
        this.#set(Number(word) !== 0);
        return true;
      },
    );
  }

  get #active(): MetaGraph | undefined {
    return this.#facts.graphs().at(-1);
  }

  #set(on: boolean): void {
    const active = this.#active;
    this.#on = on;
    this.#graph = active?.name;
    for (const xlator of active?.running?.xlators.values() ?? []) asLatencyMeter(xlator)?.measureLatency(on);
  }
}
