/** A volume as a FUSE file, and as a loop device over it. */
import { stat } from 'node:fs/promises';
import type { Clock, Log } from '@mortar/core';
import { close } from '@mortar/libc';
import type { BlockDevice } from '../device/device.ts';
import { AttachError } from './attach-error.ts';
import type { Agreed } from './fuse-agreement.ts';
import { FuseFile } from './fuse-file.ts';
import { abortConnection, connectionOf, mountFile, unmountFile, waitingOf } from './fuse-mount-point.ts';
import type { KeptFile } from './keeper/protocol.ts';
import { checkUnused, type LocalNode } from './local-node.ts';
import { growLoop, loops, makeLoop, removeLoop, usersOf } from './loop.ts';
import type { RunProgram } from './run-program.ts';

const maxReadBytes = 1024 * 1024;
const smallestSectorBytes = 512;
const largestSectorBytes = 4096;
/** Loop devices let go of their file a moment after they are gone. */
const letGoMs = 3000;
const origin = 'attach';

/** Keeps descriptors for the next run of this daemon. */
export interface DescriptorStore {
  /** `file`: what that run has to know. */
  put(path: string, file: KeptFile, fd: number): void;
  drop(path: string): void;
}

export interface FuseNodeOptions {
  /** Where the file is mounted. */
  readonly path: string;
  readonly namespace: string;
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
  readonly #fd: number;
  #agreed: Agreed | null = null;
  #loop: string | null = null;
  #isLeaving = false;

  private constructor(options: FuseNodeOptions, fd: number, agreed?: Agreed) {
    const { device, log, kind } = options;
    this.kind = kind;
    this.#options = options;
    this.#fd = fd;
    this.#file = new FuseFile({ fd, name: fullName(options), device, log, ...(agreed ? { agreed } : {}) });
    void this.#file.closed.then((error) => this.#ended(error));
  }

  /** Throws AttachError, with nothing left behind. */
  static async make(options: FuseNodeOptions): Promise<FuseNode> {
    const { path, device } = options;
    const fd = await mountFile(path, fullName(options), device.traits.readOnly, maxReadBytes);
    const node = new FuseNode(options, fd);
    await node.#begin();
    return node;
  }

  /**
   * Goes on with the descriptor of an earlier run; users notice no more than that it took a while. Null: the kernel cannot send
   * again what that run had in its hands; its users' requests fail, and nothing is left.
   */
  static async adopt(options: FuseNodeOptions, fd: number, agreed: Agreed): Promise<FuseNode | null> {
    const { path, store, run, clock } = options;
    const loop = loops().find((one) => one.file === path)?.loop ?? null;
    const connection = connectionOf(path);
    if (connection === undefined || (!agreed.canResend && waitingOf(connection) !== 0)) {
      // Nobody would ever answer what is lost: the connection ends before anything waits for it.
      store?.drop(path);
      if (connection !== undefined) abortConnection(connection);
      close(fd);
      if (loop !== null) await removeLoop(run, clock, loop, path);
      await unmountFile(run, clock, path, { lazy: true });
      return null;
    }
    const node = new FuseNode(options, fd, agreed);
    node.#loop = loop;
    if (agreed.canResend) node.#file.resend();
    await node.#begin();
    return node;
  }

  /** The one that is kept for a next run comes before its users. */
  async #begin(): Promise<void> {
    try {
      this.#agreed = await this.#file.start();
      if (!this.#agreed) throw new AttachError(`${fullName(this.#options)}: the kernel's FUSE is too old`);
      this.#keep();
      await this.#attachLoop();
    } catch (error) {
      await this.remove(true);
      throw error;
    }
  }

  #keep(): void {
    const { store, path, namespace, name, kind, device } = this.#options;
    const { readOnly, minimumBytes } = device.traits;
    const file = { namespace, name, kind, sizeBytes: device.sizeBytes, readOnly, minimumBytes, ...this.#agreed! };
    store?.put(path, file, this.#fd);
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
    this.#keep();
    if (this.#loop !== null) await growLoop(run, this.#loop);
  }

  async remove(force: boolean): Promise<void> {
    const { path, run, clock, store, log } = this.#options;
    if (force) this.#file.fail();
    else await checkUnused(this, clock);
    this.#isLeaving = true;
    try {
      const isFree = await this.#removeLoops();
      if (!isFree && !force) throw new AttachError(`${this.target} has come into use: it goes with its last user`);
      const connection = connectionOf(path);
      const busyMs = this.#loop === null ? 0 : letGoMs;
      const isUnmounted = isFree && (await unmountFile(run, clock, path, { busyMs }));
      if (!isUnmounted) {
        if (!force) throw new AttachError(`${path} is in use`);
        log.write('WARNING', origin, `${fullName(this.#options)}: it is taken from its users, whose requests fail`);
        await unmountFile(run, clock, path, { lazy: true });
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

  /** All over the file: a run that was killed may have left one that came to be only afterwards. False: one is in use. */
  async #removeLoops(): Promise<boolean> {
    const { path, run, clock } = this.#options;
    const removed = loops()
      .filter(({ file }) => file === path)
      .map(({ loop }) => removeLoop(run, clock, loop, path));
    return (await Promise.all(removed)).every((one) => one);
  }

  /** The daemon ends and the store keeps the descriptor: what comes waits for the next run. */
  leave(): void {
    this.#isLeaving = true;
    this.#file.end();
  }

  #ended(error: Error | undefined): void {
    if (this.#isLeaving) return;
    const { log, store, path } = this.#options;
    store?.drop(path);
    const name = fullName(this.#options);
    log.write('ERROR', origin, `${name}: its FUSE connection has ended${error ? `: ${error.message}` : ''}; detach it`);
  }
}

/** As the mount table shows it. */
function fullName({ namespace, name }: FuseNodeOptions): string {
  return `${namespace}:${name}`;
}
