/** Who has which device open, over all sessions of a server: exclusive ones keep others out, or are taken from their holder. */
import { Errno, type Failure } from '@mortar/core';
import { type BlockDevice, refuse } from '../../device/device.ts';
import type { Client, ExportSource, OpenExport } from '../../nbd/exports.ts';
import type { Open } from '../messages.ts';

export class OpenDevice {
  readonly name: string;
  readonly mode: Open['mode'];
  readonly exported: OpenExport;
  /** Another session has it now: nothing more of this one is done. */
  isRevoked = false;
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(name: string, mode: Open['mode'], exported: OpenExport) {
    this.name = name;
    this.mode = mode;
    this.exported = exported;
  }

  get device(): BlockDevice {
    return this.exported.device;
  }

  begin(): void {
    this.#running++;
  }

  end(): void {
    if (--this.#running === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  /** Resolves when nothing that was let in runs any more. */
  untilIdle(): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }
}

export class OpenDevices {
  readonly #exports: ExportSource;
  readonly #all = new Set<OpenDevice>();
  /** Given up, with requests under way: the next one waits for those. */
  readonly #closing = new Set<OpenDevice>();

  constructor(exports: ExportSource) {
    this.#exports = exports;
  }

  get size(): number {
    return this.#all.size;
  }

  /** EBUSY: somebody else has it; with `force` he has it no longer, and what he had under way is over. */
  async open({ name, mode, force }: Open, client: Client): Promise<{ ok: true; opened: OpenDevice } | Failure> {
    const info = this.#exports.find(name, client);
    if (!info) return refuse(Errno.ENOENT);
    const others = [...this.#all].filter((one) => one.name === info.name && !one.isRevoked && conflict(one.mode, mode));
    if (others.length > 0 && !force) return refuse(Errno.EBUSY);
    const exported = this.#exports.open(name, client);
    if (!exported) return refuse(Errno.ENOENT);
    const opened = new OpenDevice(info.name, mode, exported);
    this.#all.add(opened);
    for (const other of others) other.isRevoked = true;
    const leaving = [...this.#closing].filter((one) => one.name === info.name);
    await Promise.all([...others, ...leaving].map((other) => other.untilIdle()));
    const held = await (exported.device.hold?.(force) ?? { ok: true as const });
    // Taken by yet another one meanwhile.
    const outcome = held.ok && opened.isRevoked ? refuse(Errno.EBUSY) : held;
    if (outcome.ok) return { ok: true, opened };
    this.close(opened);
    return outcome;
  }

  /** After its last request. */
  close(opened: OpenDevice): void {
    if (!this.#all.delete(opened)) return;
    opened.isRevoked = true;
    this.#closing.add(opened);
    void opened.untilIdle().then(() => {
      this.#closing.delete(opened);
      opened.exported.release();
    });
  }

  users(name: string): number {
    return [...this.#all].filter((one) => one.name === name).length;
  }
}

function conflict(one: Open['mode'], other: Open['mode']): boolean {
  return one !== 'read' && other !== 'read' && (one === 'exclusive' || other === 'exclusive');
}
