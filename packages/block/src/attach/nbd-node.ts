/** A volume as a device of the kernel's NBD client, connected to this daemon's own endpoint: paths and take-over stay the daemon's. */
import { existsSync, readdirSync } from 'node:fs';
import type { Clock } from '@mortar/core';
import { AttachError } from './attach-error.ts';
import { checkUnused, type LocalNode } from './local-node.ts';
import { usersOf } from './loop.ts';
import type { Outcome, RunProgram } from './run-program.ts';

export interface NbdNodeOptions {
  /** Of the unix socket of the endpoint. */
  readonly endpoint: string;
  /** As it is exported there. */
  readonly exportName: string;
  readonly readOnly: boolean;
  readonly sectorBytes: number;
  /** The kernel gives a connection up that has not answered for so long. */
  readonly timeoutSeconds: number;
}

/** The words for nbd-client that connect `device`. Pure. */
export function connectWords(device: string, options: NbdNodeOptions): string[] {
  const { endpoint, exportName, readOnly, sectorBytes, timeoutSeconds } = options;
  return [
    '-unix',
    endpoint,
    device,
    '-name',
    exportName,
    '-block-size',
    `${sectorBytes}`,
    '-timeout',
    `${timeoutSeconds}`,
    ...(readOnly ? ['-readonly'] : []),
  ];
}

/** Devices that nobody has connected: those without a `pid` in sysfs. Pure; `names` are those of /sys/block. */
export function freeDevices(names: readonly string[], isConnected: (name: string) => boolean): string[] {
  return names
    .filter((name) => /^nbd\d+$/.test(name) && !isConnected(name))
    .sort((a, b) => Number(a.slice(3)) - Number(b.slice(3)))
    .map((name) => `/dev/${name}`);
}

export function disconnect(device: string, run: RunProgram): Promise<Outcome> {
  return run('nbd-client', ['-d', device]);
}

const isConnected = (name: string) => existsSync(`/sys/block/${name}/pid`);

export class NbdNode implements LocalNode {
  readonly kind = 'nbd';
  readonly target: string;
  readonly #run: RunProgram;
  readonly #clock: Clock;

  private constructor(target: string, run: RunProgram, clock: Clock) {
    this.target = target;
    this.#run = run;
    this.#clock = clock;
  }

  /** Others look for a free device at the same time: the kernel lets one of them have it. */
  static async make(
    options: NbdNodeOptions,
    run: RunProgram,
    clock: Clock,
    names = readdirSync('/sys/block'),
  ): Promise<NbdNode> {
    let why = 'all are in use; more come with modprobe nbd nbds_max=N';
    for (const device of freeDevices(names, isConnected)) {
      const { code, stderr } = await run('nbd-client', connectWords(device, options));
      if (code === 0) return new NbdNode(device, run, clock);
      why = stderr;
    }
    throw new AttachError(`there is no free device of nbd: ${why}`);
  }

  async users(): Promise<readonly string[]> {
    return usersOf(this.target);
  }

  /** The endpoint's connection was told the size at its start. */
  async grow(): Promise<void> {
    throw new AttachError(`${this.target} has its new size when it is attached anew`);
  }

  async remove(force: boolean): Promise<void> {
    if (!force) await checkUnused(this, this.#clock);
    const { code, stderr } = await disconnect(this.target, this.#run);
    if (code !== 0) throw new AttachError(`${this.target} is not disconnected: ${stderr}`);
  }
}
