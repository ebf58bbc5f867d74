/** What a state dump says; pure text, in GlusterFS's form (docs/processes.md). */
import type { Graph, InodeTable, Xlator } from '@mortar/core';

export type DumpValues = Readonly<Record<string, string | number | boolean>>;

export interface DumpSection {
  readonly name: string;
  readonly values: DumpValues;
}

/** Translators whose section tools look for under another name than `TYPE.NAME`. */
const sectionNames: Readonly<Record<string, (name: string) => string>> = {
  'protocol/client': (name) => `xlator.protocol.client.${name}.priv`,
  'protocol/server': (name) => `xlator.protocol.server.${name}.priv`,
  'cluster/distribute': (name) => `xlator.cluster.dht.${name}.priv`,
  'debug/trace': () => 'xlator.debug.trace.history',
  'debug/error-gen': (name) => `xlator.debug.error-gen.${name}.priv`,
};

export function xlatorSection(xlator: Xlator): DumpSection {
  const name = sectionNames[xlator.type]?.(xlator.name) ?? `${xlator.type}.${xlator.name}`;
  return { name, values: xlator.dump() };
}

/** Top first, as a person reads a graph. */
export function graphSections(graph: Graph): DumpSection[] {
  return [...graph.xlators.values()].reverse().map(xlatorSection);
}

export function inodeSection(inodes: InodeTable, name: string): DumpSection {
  const { active, lru, limit } = inodes.stats();
  return { name, values: { 'inode-count': active + lru, active_size: active, lru_size: lru, lru_limit: limit } };
}

export function processSection(): DumpSection {
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  return {
    name: 'process',
    values: {
      pid: process.pid,
      version: process.version,
      uptime_seconds: Math.floor(process.uptime()),
      rss_bytes: memory.rss,
      heap_used_bytes: memory.heapUsed,
      external_bytes: memory.external,
      user_cpu_micros: cpu.user,
      system_cpu_micros: cpu.system,
    },
  };
}

/** `started` and `ended` are wall-clock stamps, `YYYY-MM-DD hh:mm:ss.uuuuuu`. */
export function dumpText(sections: readonly DumpSection[], started: string, ended: string): string {
  const blocks = sections.map(({ name, values }) => {
    const lines = Object.entries(values).map(([key, value]) => `${key}=${typeof value === 'boolean' ? +value : value}`);
    return [`[${name}]`, ...lines, ''].join('\n');
  });
  return [`DUMP-START-TIME: ${started} +0000`, '', ...blocks, `DUMP-END-TIME: ${ended} +0000`, ''].join('\n');
}
