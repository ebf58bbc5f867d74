/** A recorded session with a real cluster (test/fixtures/transcripts), run again here: its steps, and what of their output counts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Io } from '@mortar/cli/io.ts';
import { main } from '@mortar/cli/main.ts';
import type { ClusterNode } from './nodes.ts';
import { root } from './sandbox.ts';

export interface Said {
  stdout: string;
  stderr: string;
  exit: number | null;
}

/** A command that was recorded. */
export interface Recorded extends Said {
  /** A command line of `gluster`, or any other of the shell. */
  gluster?: string;
  shell?: string;
  node?: number;
  input?: string;
  /** `shape`: numbers are measurements, columns as wide as these. `lines`: nodes come in any order. */
  compare?: 'shape' | 'lines';
}

/** What happened between recorded commands: something done on a node, or a wait until a command's output has a pattern. */
type Between = { do: string; node?: number } | { until: string; shows: string };
export type Step = Recorded | Between;

export interface Section {
  name: string;
  steps: readonly Step[];
}

const fixtures = join(root, 'test/fixtures/transcripts');

export function readSections(): Section[] {
  const files = readdirSync(fixtures).filter((name) => /^\d\d-.*\.json$/.test(name));
  return files.sort().map((file) => {
    const { steps } = JSON.parse(readFileSync(join(fixtures, file), 'utf8')) as { steps: Step[] };
    return { name: file.slice(3, -5), steps };
  });
}

/** Words as a shell splits them; single quotes hold blanks. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!).slice(1);
}

/** In this process: a start of Node for each of some hundred commands would take a minute. */
async function glusterHere(node: ClusterNode, command: string, input: string): Promise<Said> {
  const said = { stdout: '', stderr: '', exit: 0 };
  const lines = input === '' ? [] : input.replace(/\n$/, '').split('\n');
  const io: Io = {
    out: (text) => {
      said.stdout += text;
    },
    err: (text) => {
      said.stderr += text;
    },
    readLine: async () => lines.shift() ?? null,
    inputIsTerminal: false,
  };
  said.exit = await main([`--glusterd-sock=${node.at('run/glusterd.socket')}`, ...wordsOf(command)], io);
  return said;
}

const places = ['lib', 'run', 'log', 'tmp', 'mnt'] as const;

export class Replay {
  readonly #nodes: readonly ClusterNode[];

  constructor(nodes: readonly ClusterNode[]) {
    this.#nodes = nodes;
  }

  /** The disks that the recorded nodes had: three file systems, and a directory in that of the root. */
  async prepare(): Promise<void> {
    for (const node of this.#nodes)
      await node.sh(
        `mount -t tmpfs tmpfs /srv; mkdir -p /srv/b1 /srv/b2 /srv/b3 /srv/perf ${node.at('perf')} ${node.at('tmp')};` +
          `for b in 1 2 3; do mount -t tmpfs tmpfs /srv/b$b; done; mount --bind ${node.at('perf')} /srv/perf`,
      );
  }

  /** Runs a step; what came out has the placeholders of the recording again. Undefined for what happened between. */
  async run(step: Step): Promise<Said | undefined> {
    if ('until' in step) return this.#wait(step.until, new RegExp(step.shows));
    const node = this.#nodes[(step.node ?? 1) - 1]!;
    if ('do' in step) {
      if (step.do === 'start-glusterd') await node.startGlusterd();
      else await node.sh(this.#shell(node, step.do));
      return undefined;
    }
    const command = this.#filled(node, step.gluster ?? step.shell ?? '');
    const isHere = step.gluster !== undefined && !command.includes('--remote-host');
    const said = isHere
      ? await glusterHere(node, command, step.input ?? '')
      : await this.#inShell(node, this.#shell(node, command));
    return { stdout: this.#emptied(node, said.stdout), stderr: this.#emptied(node, said.stderr), exit: said.exit };
  }

  async #inShell(node: ClusterNode, script: string): Promise<Said> {
    const { stdout, stderr, exitCode } = await node.run('bash', '-c', script);
    return { stdout, stderr, exit: exitCode };
  }

  /**
   * The programs by their names, and `brick`, which finds the process of one; `killed` ends it, and it stays away as
   * GlusterFS's does: without its pid file it is not one that died (docs/processes.md).
   */
  #shell(node: ClusterNode, script: string): string {
    const bin = join(root, 'bin');
    return [
      `gluster() { ${bin}/gluster --glusterd-sock=${node.at('run/glusterd.socket')} --log-file= --mode=script "$@"; }`,
      `glusterfs() { ${bin}/glusterfs --log-file=${node.at('log/mnt.log')} "$@"; }`,
      `brick() { pgrep -f -- "--brick-name $1 "; }`,
      `killed() { rm ${node.at('run')}/vols/*/*"$(tr / - <<<"$1")".pid && kill -9 $(brick "$1"); }`,
      this.#filled(node, script),
    ].join('\n');
  }

  #filled(node: ClusterNode, text: string): string {
    return places.reduce((filled, name) => filled.replaceAll(`{${name}}`, node.at(name)), text);
  }

  #emptied(node: ClusterNode, text: string): string {
    return places.reduce((emptied, name) => emptied.replaceAll(node.at(name), `{${name}}`), text);
  }

  async #wait(command: string, pattern: RegExp): Promise<undefined> {
    let last = '';
    for (const end = Date.now() + 60_000; Date.now() < end; ) {
      last = (await glusterHere(this.#nodes[0]!, `gluster ${command}`, '')).stdout;
      if (pattern.test(last)) return undefined;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`'${command}' never showed ${pattern}: ${last}`);
  }
}

/** Without what is another each time: ids, times, process ids, ports. */
export function essence({ stdout, stderr, exit }: Said, compare?: Recorded['compare']): Said {
  const plain = (text: string) => {
    const same = text
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID')
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?/g, 'TIME')
      .replace(/\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}/g, 'TIME')
      .replace(/\w{3} +\d+ \d\d:\d\d /g, 'TIME ')
      .replace(/_\d{8}_\d{6}/g, '_TIME')
      .replace(/(\d+|N\/A) +(\d+|N\/A) +([YN]) +(\d+|N\/A) *$/gm, (_all, ...columns: string[]) =>
        columns
          .slice(0, 4)
          .map((column) => (/^[1-9]/.test(column) ? 'n' : column))
          .join(' '),
      )
      .replace(/<(port|pid|tcp)>\d+</g, '<$1>n<')
      .replace(/<runtime>[\d.]+</g, '<runtime>n<');
    if (compare === 'lines') return same.split('\n').sort().join('\n');
    return compare === 'shape' ? shape(same) : same;
  };
  return { stdout: plain(stdout), stderr: plain(stderr), exit };
}

function shape(text: string): string {
  return text
    .replace(/\d+(\.\d+)?(e[+-]\d+)?/g, 'n')
    .replace(/[ \t]+/g, ' ')
    .replace(/-{4,}/g, '----');
}
