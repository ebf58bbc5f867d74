/** A volume as a FUSE file, and as a loop device over it. */
import { stat } from 'node:fs/promises';
import type { Clock, Log } from '@mortar/core';
import type { BlockDevice } from '../device/device.ts';
import { AttachError } from './attach-error.ts';
import { type Agreed, FuseFile } from './fuse-file.ts';
import { abortConnection, connectionOf, mountFile, unmountFile } from './fuse-mount-point.ts';
import { checkUnused, type LocalNode } from './local-node.ts';
import { growLoop, loops, makeLoop, removeLoop, usersOf } from './loop.ts';
import type { RunProgram } from './run-program.ts';

const maxReadBytes = 1024 * 1024;
const smallestSectorBytes = 512;
const largestSectorBytes = 4096;
const origin = 'attach';

/** Keeps descriptors for the next run of this daemon. */
export interface DescriptorStore {
  /** `agreed`: what that run has to know. */
  put(path: string, fd: number, agreed: Agreed): void;
  drop(path: string): void;
}

export interface FuseNodeOptions {
  /** Where the file is mounted. */
  readonly path: string;
  /** `NAMESPACE:NAME`, as the mount table shows it. */
  readonly name: string;
  readonly device: BlockDevice;
  readonly kind: 'loop' | 'file';
  readonly clock: Clock;
  readonly log: Log;
  readonly run: RunProgram;
  readonly store: DescriptorStore | null;
}

export class FuseNode implements LocalNode {
  readonly kind: 'loop' | 'file';
  readonly #options: FuseNodeOptions;
  readonly #file: FuseFile;
  #loop: string | null = null;
  #isLeaving = false;

  private constructor(options: FuseNodeOptions, file: FuseFile) {
    this.kind = options.kind;
    this.#options = options;
    this.#file = file;
    void file.closed.then((error) => this.#ended(error));
  }

  /** Throws AttachError, with nothing left behind. */
  static async make(options: FuseNodeOptions): Promise<FuseNode> {
    const { path, name, device, log, store } = options;
    const fd = await mountFile(path, name, device.traits.readOnly, maxReadBytes);
    const file = new FuseFile({ fd, name, device, log });
    const node = new FuseNode(options, file);
    try {
      const agreed = await file.start();
      if (!agreed) throw new AttachError(`${name}: the kernel's FUSE is too old`);
      store?.put(path, fd, agreed);
      await node.#attachLoop();
      return node;
    } catch (error) {
      await node.remove(true);
      throw error;
    }
  }

  /** Goes on with the descriptor of an earlier run; users notice no more than that it took a while. */
  static async adopt(options: FuseNodeOptions, fd: number, agreed: Agreed): Promise<FuseNode> {
    const { path, name, device, log } = options;
    const file = new FuseFile({ fd, name, device, log, agreed });
    const node = new FuseNode(options, file);
    await file.start();
    file.resend();
    node.#loop = loops().find((one) => one.file === path)?.loop ?? null;
    try {
      await node.#attachLoop();
      return node;
    } catch (error) {
      await node.remove(true);
      throw error;
    }
  }

  get target(): string {
    return this.#loop ?? this.#options.path;
  }

  async #attachLoop(): Promise<void> {
    const { run, path, device, kind } = this.#options;
    if (kind === 'file' || this.#loop !== null) return;
    const { readOnly, minimumBytes } = device.traits;
    const sectorBytes = Math.min(largestSectorBytes, Math.max(smallestSectorBytes, minimumBytes));
    this.#loop = await makeLoop(run, path, { readOnly, sectorBytes });
  }

  async users(): Promise<readonly string[]> {
    // Of a file the kernel tells when it is unmounted.
    return this.#loop === null ? [] : usersOf(this.#loop);
  }

  async grow(): Promise<void> {
    const { path, run } = this.#options;
    this.#file.grow();
    // The kernel takes over the size when it is asked for it.
    await stat(path);
    if (this.#loop !== null) await growLoop(run, this.#loop);
  }

  async remove(force: boolean): Promise<void> {
    const { name, path, run, clock, store, log } = this.#options;
    if (force) this.#file.fail();
    else await checkUnused(this, clock);
    this.#isLeaving = true;
    try {
      const isFree = this.#loop === null || (await removeLoop(run, clock, this.#loop, path));
      if (!isFree && !force) throw new AttachError(`${this.target} has come into use: it goes with its last user`);
      const connection = connectionOf(path);
      const isUnmounted = isFree && (await unmountFile(run, clock, path, false));
      if (!isUnmounted) {
        if (!force) throw new AttachError(`${path} is in use`);
        log.write('WARNING', origin, `${name}: it is taken from its users, whose requests fail`);
        await unmountFile(run, clock, path, true);
        if (connection !== undefined) abortConnection(connection);
      }
    } catch (error) {
      this.#isLeaving = false;
      throw error;
    }
    this.#loop = null;
    store?.drop(path);
    this.#file.end();
  }

  /** The daemon ends and the store keeps the descriptor: what comes waits for the next run. */
  leave(): void {
    this.#isLeaving = true;
    this.#file.end();
  }

  #ended(error: Error | undefined): void {
    if (this.#isLeaving) return;
    const { name, log, store, path } = this.#options;
    store?.drop(path);
    log.write('ERROR', origin, `${name}: its FUSE connection has ended${error ? `: ${error.message}` : ''}; detach it`);
  }
}
