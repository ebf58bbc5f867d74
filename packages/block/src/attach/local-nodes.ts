/** The local devices of a daemon: makes them as its configuration says, names them, and clears away what earlier runs left. */
import { existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Clock, Log } from '@mortar/core';
import { close } from '@mortar/libc';
import type { BlockDevice } from '../device/device.ts';
import { type Apart, setApart } from './apart.ts';
import { AttachError } from './attach-error.ts';
import { type AttachWord, type Choice, chooseBackEnd, findMeans, isUnused } from './back-end.ts';
import { abortConnection, mountedFiles, unmountFile } from './fuse-mount-point.ts';
import { FuseNode, type FuseNodeOptions } from './fuse-node.ts';
import { KeeperClient, type Kept } from './keeper/client.ts';
import { checkLinks, type Links, linksOf, linkTarget, makeLinks, removeLinks } from './links.ts';
import type { LocalNode } from './local-node.ts';
import { backingFile, loops, removeLoop } from './loop.ts';
import { disconnect, NbdNode } from './nbd-node.ts';
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
  /** Of the process that keeps descriptors while this daemon is not there. */
  readonly keeper: { readonly socket: string; readonly program: string; readonly keepSeconds: number };
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
  #keeper: KeeperClient | null = null;
  #apart: Apart | null = null;

  constructor(options: LocalNodesOptions) {
    this.#options = options;
    this.#run = options.run ?? runProgram;
  }

  /**
   * Finds out what this machine has, and what is kept of an earlier run; clears away what nobody serves any more. `nbd`: devices
   * of the kernel's NBD client that an earlier run had connected.
   */
  async start(nbd: readonly string[] = []): Promise<readonly Kept[]> {
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
    for (const device of nbd) await disconnect(device, this.#run);
    const kept = await this.#startKeeper();
    await this.#clear(new Set(kept.map(({ key }) => key)));
    return kept;
  }

  async #startKeeper(): Promise<readonly Kept[]> {
    const { clock, log, keeper } = this.#options;
    const isFuse = !(this.#choice instanceof AttachError) && ['loop', 'file'].includes(this.#choice.backEnd);
    if (!isFuse && !existsSync(keeper.socket)) return [];
    this.#apart = setApart();
    for (const note of this.#apart.notes) log.write('WARNING', origin, note);
    this.#keeper = new KeeperClient({ ...keeper, clock, log });
    return (await this.#keeper.start()) ?? [];
  }

  /** Goes on with what an earlier run had attached. Null: that cannot be, and nothing of it is left. Throws AttachError. */
  async adopt({ key, file, fd }: Kept, device: BlockDevice): Promise<NamedNode | null> {
    const { log, directoryOf } = this.#options;
    const { namespace, name, kind, maxWrite, canResend } = file;
    const options = { ...this.#fuseOptions(namespace, name, device, kind), path: key };
    const node = await FuseNode.adopt(options, fd, { maxWrite, canResend });
    if (!node) {
      log.write('ERROR', origin, `${namespace}:${name} had requests under way that are lost: its users are failed`);
      return null;
    }
    return this.#named(node, directoryOf(namespace), name);
  }

  /** What was kept is of no use: its users are failed. */
  async refuse(kept: Kept): Promise<void> {
    const { key, file, fd } = kept;
    const { clock, log } = this.#options;
    log.write('WARNING', origin, `${file.namespace}:${file.name} is no longer configured: its users are failed`);
    this.#keeper?.drop(key);
    close(fd);
    for (const { loop } of loops().filter((one) => one.file === key)) await removeLoop(this.#run, clock, loop, key);
    await unmountFile(this.#run, clock, key, { lazy: true });
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
    return this.#named(node, directory, name);
  }

  async #named(node: LocalNode, directory: string, name: string): Promise<NamedNode> {
    const links = linksOf(directory, name);
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
    // Nobody finds by this name what is another one's device next.
    removeLinks(links, target);
    try {
      await node.remove(force);
    } catch (error) {
      makeLinks(dirname(links.block), links, target);
      throw error;
    }
    this.#nodes.delete(named);
  }

  /** Takes away what nobody uses. What is in use stays with the keeper for the next run, or goes by force if there is none. */
  async end(): Promise<void> {
    await Promise.all([...this.#nodes].map((named) => this.#endOne(named)));
    this.#keeper?.end();
    this.#apart?.leave();
  }

  async #endOne(named: NamedNode): Promise<void> {
    const { log } = this.#options;
    const { node } = named;
    const canStay = node instanceof FuseNode && (this.#keeper?.isReached ?? false);
    try {
      await this.remove(named, !canStay);
    } catch (error) {
      if (!(error instanceof AttachError)) throw error;
      log.write('WARNING', origin, canStay ? `${error.message}: it waits for the next run of rsiod` : error.message);
      if (node instanceof FuseNode) node.leave();
    }
  }

  #fuseOptions(namespace: string, name: string, device: BlockDevice, kind: 'loop' | 'file'): FuseNodeOptions {
    const { clock, log, filesDirectory } = this.#options;
    const path = join(filesDirectory, `${namespace}:${name}`);
    return { path, namespace, name, device, kind, clock, log, run: this.#run, store: this.#keeper };
  }

  #checkLinks(links: Links): void {
    const own = new Set([...this.#nodes].map(({ node }) => node.target));
    checkLinks(links, (target) => !own.has(target) && isUnused(target, this.#options.filesDirectory));
  }

  /** Mounts, loop devices, files and links of a run that was killed. */
  async #clear(kept: ReadonlySet<string>): Promise<void> {
    const { filesDirectory, clock, log, directories } = this.#options;
    mkdirSync(filesDirectory, { recursive: true, mode: 0o700 });
    // Whoever may still hold a descriptor serves nobody: nothing here must wait for him.
    for (const { path, connection } of mountedFiles(filesDirectory)) if (!kept.has(path)) abortConnection(connection);
    for (const { loop, file } of loops()) {
      if (!file.startsWith(`${filesDirectory}/`) || kept.has(file)) continue;
      if (!(await removeLoop(this.#run, clock, loop, file)))
        log.write('WARNING', origin, `${loop} of an earlier run is in use: it goes with its last user`);
    }
    for (const { path } of mountedFiles(filesDirectory)) {
      if (kept.has(path)) continue;
      log.write('INFO', origin, `${path} of an earlier run is unmounted`);
      await unmountFile(this.#run, clock, path, { lazy: true });
    }
    for (const path of readdirSync(filesDirectory).map((name) => join(filesDirectory, name)))
      if (!kept.has(path)) unlinkSync(path);
    for (const directory of directories) this.#clearLinks(directory, kept);
  }

  #clearLinks(directory: string, kept: ReadonlySet<string>): void {
    let names: string[];
    try {
      names = readdirSync(directory);
    } catch {
      return;
    }
    for (const { block, raw } of names.map((name) => linksOf(directory, name))) {
      const target = linkTarget(block);
      if (target === null || linkTarget(raw) !== target || !isUnused(target, this.#options.filesDirectory)) continue;
      if (kept.has(target) || kept.has(backingFile(target) ?? '')) continue;
      removeLinks({ block, raw }, target);
    }
  }
}
