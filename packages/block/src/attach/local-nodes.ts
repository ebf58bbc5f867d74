/** The local devices of a daemon: makes them as its configuration says, names them, and clears away what earlier runs left. */
import { mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Log } from '@mortar/core';
import type { BlockDevice } from '../device/device.ts';
import { AttachError } from './attach-error.ts';
import { type AttachWord, type Choice, chooseBackEnd, findMeans, isUnused } from './back-end.ts';
import { mountedFiles, unmountFile } from './fuse-mount-point.ts';
import { FuseNode, type FuseNodeOptions } from './fuse-node.ts';
import { checkLinks, type Links, linksOf, linkTarget, makeLinks, removeLinks } from './links.ts';
import type { LocalNode } from './local-node.ts';
import { loops, removeLoop } from './loop.ts';
import { NbdNode } from './nbd-node.ts';
import { type RunProgram, runProgram } from './run-program.ts';

const origin = 'attach';

export interface LocalNodesOptions {
  readonly attach: AttachWord;
  /** Of the FUSE files; this daemon's alone. */
  readonly filesDirectory: string;
  /** Where a namespace's devices are found. */
  readonly directoryOf: (namespace: string) => string;
  /** All of them. */
  readonly directories: readonly string[];
  /** The daemon's NBD endpoint. */
  readonly endpoint: string;
  /** How long a request may take before it has failed. */
  readonly answerMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly run?: RunProgram;
}

export interface NamedNode {
  readonly node: LocalNode;
  readonly links: Links;
}

export class LocalNodes {
  readonly #options: LocalNodesOptions;
  readonly #run: RunProgram;
  readonly #nodes = new Set<NamedNode>();
  #choice: Choice | AttachError = { backEnd: 'none', why: '' };

  constructor(options: LocalNodesOptions) {
    this.#options = options;
    this.#run = options.run ?? runProgram;
  }

  /** Finds out what this machine has, and clears away what nobody serves any more. */
  async start(): Promise<void> {
    const { attach, log } = this.#options;
    try {
      this.#choice = chooseBackEnd(attach, await findMeans(this.#run, attach));
      const { backEnd, why } = this.#choice;
      const what = backEnd === 'none' ? 'served on the NBD endpoint only' : `made local devices by ${backEnd}`;
      log.write('INFO', origin, `attached volumes are ${what}${why && ` (${why})`}`);
    } catch (error) {
      if (!(error instanceof AttachError)) throw error;
      this.#choice = error;
      log.write('ERROR', origin, error.message);
    }
    await this.#clear();
  }

  /** Null: attached volumes have no local device. Throws AttachError. */
  async make(namespace: string, name: string, device: BlockDevice): Promise<NamedNode | null> {
    if (this.#choice instanceof AttachError) throw this.#choice;
    const { backEnd } = this.#choice;
    if (backEnd === 'none') return null;
    const { directoryOf, endpoint, answerMs, clock } = this.#options;
    const directory = directoryOf(namespace);
    const links = linksOf(directory, name);
    this.#checkLinks(links);
    const node =
      backEnd === 'nbd'
        ? await NbdNode.make(
            {
              endpoint,
              exportName: `${namespace}/${name}`,
              readOnly: device.traits.readOnly,
              sectorBytes: Math.min(4096, Math.max(512, device.traits.minimumBytes)),
              timeoutSeconds: Math.ceil(answerMs / 1000),
            },
            this.#run,
            clock,
          )
        : await FuseNode.make(this.#fuseOptions(namespace, name, device, backEnd));
    try {
      makeLinks(directory, links, node.target);
    } catch (error) {
      await node.remove(true);
      throw new AttachError(`${links.block} cannot be made: ${(error as Error).message}`, { cause: error });
    }
    const named = { node, links };
    this.#nodes.add(named);
    return named;
  }

  /** Throws AttachError, and all is as before, if it is in use and not forced. */
  async remove(named: NamedNode, force: boolean): Promise<void> {
    const { node, links } = named;
    const { target } = node;
    await node.remove(force);
    removeLinks(links, target);
    this.#nodes.delete(named);
  }

  /** Takes away what nobody uses, and by force what is left: who serves it goes. */
  async end(): Promise<void> {
    const ends = [...this.#nodes].map(async (named) => {
      try {
        await this.remove(named, true);
      } catch (error) {
        this.#options.log.write('ERROR', origin, `${named.node.target}: ${(error as Error).message}`);
      }
    });
    await Promise.all(ends);
  }

  #fuseOptions(namespace: string, name: string, device: BlockDevice, kind: 'loop' | 'file'): FuseNodeOptions {
    const { clock, log, filesDirectory } = this.#options;
    const path = join(filesDirectory, `${namespace}:${name}`);
    return { path, name: `${namespace}:${name}`, device, kind, clock, log, run: this.#run, store: null };
  }

  #checkLinks(links: Links): void {
    const own = new Set([...this.#nodes].map(({ node }) => node.target));
    checkLinks(links, (target) => !own.has(target) && isUnused(target, this.#options.filesDirectory));
  }

  /** Mounts, loop devices, files and links of a run that was killed. */
  async #clear(): Promise<void> {
    const { filesDirectory, clock, log, directories } = this.#options;
    mkdirSync(filesDirectory, { recursive: true, mode: 0o700 });
    for (const { loop, file } of loops()) {
      if (!file.startsWith(`${filesDirectory}/`)) continue;
      if (!(await removeLoop(this.#run, clock, loop, file)))
        log.write('WARNING', origin, `${loop} of an earlier run is in use: it goes with its last user`);
    }
    for (const { path } of mountedFiles(filesDirectory)) {
      log.write('INFO', origin, `${path} of an earlier run is unmounted`);
      await unmountFile(this.#run, clock, path, true);
    }
    for (const name of readdirSync(filesDirectory)) unlinkSync(join(filesDirectory, name));
    for (const directory of directories) this.#clearLinks(directory);
  }

  #clearLinks(directory: string): void {
    let names: string[];
    try {
      names = readdirSync(directory);
    } catch {
      return;
    }
    for (const { block, raw } of names.map((name) => linksOf(directory, name))) {
      const target = linkTarget(block);
      if (target === null || linkTarget(raw) !== target || !isUnused(target, this.#options.filesDirectory)) continue;
      removeLinks({ block, raw }, target);
    }
  }
}
