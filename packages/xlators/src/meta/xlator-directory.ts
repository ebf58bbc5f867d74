/** `graphs/GRAPH/XLATOR`: what a volfile says of a translator, and what it says of itself while it runs. */
import type { InodeTable, VolumeNode, Xlator } from '@mortar/core';
import { asLatencyMeter } from '../lib/latency-meter.ts';
import { directory, entryName, file, link, listed, type MetaNode, secretFile, valueLines } from './node.ts';

/** Beyond it counting would hold up the process. */
const countedInodes = 100_000;
const secretOption = /password|secret|private-key/;

export function xlatorDirectory(node: VolumeNode, running: Xlator | undefined): MetaNode {
  const options = running?.texts ?? node.options;
  return directory({
    name: () => file(() => `${node.name}\n`),
    type: () => file(() => `${node.type}\n`),
    options: () => optionsDirectory(options),
    subvolumes: () =>
      listed(() => node.subvolumes.map((name, i) => [`${i}`, () => link(() => `../../${entryName(name)}`)] as const)),
    private: () => file(() => (running ? valueLines(running.dump()) : '')),
    history: () => file(() => (running ? historyText(running) : '')),
    meminfo: () => file(() => (running ? valueLines(memoryOf(running)) : '')),
    profile: () => file(() => (running ? profileText(running) : '')),
    view: () => directory({}),
  });
}

/** Only what was given: scripts ask whether an option is set by looking for its file. */
export function optionsDirectory(options: ReadonlyMap<string, string>): MetaNode {
  return listed(() =>
    [...options].map(([key, value]) => {
      const make = secretOption.test(key) ? secretFile : file;
      return [key, () => make(() => `${value}\n`)] as const;
    }),
  );
}

/** The lines that a translator remembers, such as debug/trace's. */
function historyText(xlator: Xlator): string {
  return Object.entries(xlator.dump())
    .filter(([key]) => key.startsWith('history['))
    .map(([, line]) => `${line}\n`)
    .join('');
}

function profileText(xlator: Xlator): string {
  return valueLines(asLatencyMeter(xlator)?.latencies() ?? {});
}

/** Memory is the engine's and has no owner; what a translator can be charged with is the files it has state of. */
function memoryOf({ services, slot }: Xlator): Record<string, number> {
  return { 'inode-contexts': contextsIn(services.inodes, slot) };
}

function contextsIn(inodes: InodeTable, slot: number): number {
  let count = 0;
  let seen = 0;
  for (const inode of inodes.all()) {
    if (++seen > countedInodes) break;
    if (inode.slots[slot] !== undefined) count++;
  }
  return count;
}
