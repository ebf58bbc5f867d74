import { nearest } from '@mortar/core';
import { isKernelFlag, kernelFlagNames } from './device/index.ts';
import type { SessionOptions } from './session/options.ts';

/** How a volume is mounted; made of the words of mount(8) and of the command line by `mountSettings`. */
export interface MountOptions {
  readonly session: Partial<SessionOptions>;
  /** Words that become mount(2) flags: `ro`, `nosuid`, `noatime` ... */
  readonly kernelFlags: readonly string[];
  /** Words for the kernel's fuse file system: `context="..."`. */
  readonly kernelOptions: readonly string[];
  /** How long the supplementary groups of a process are believed. */
  readonly gidTimeoutMs?: number;
}

/** Least and greatest value of the numbers; both inclusive. */
const ranges: Readonly<Partial<Record<keyof SessionOptions, readonly [number, number]>>> = {
  entryTimeout: [0, 2 ** 31],
  attributeTimeout: [0, 2 ** 31],
  negativeTimeout: [0, 2 ** 31],
  lruLimit: [0, 2 ** 32],
  maxInFlight: [1, 65535],
  maxLockWaits: [1, 65535],
  graphWaitMs: [0, 2 ** 31 - 1],
  maxBackground: [1, 65535],
  congestionThreshold: [1, 65535],
  timeGranularityNs: [1, 1_000_000_000],
  maxWrite: [4096, 1024 * 1024],
  maxReadahead: [4096, 2 ** 31],
};

/** What is wrong with the options, in words for a person; undefined: nothing. */
export function problemOf(session: SessionOptions, kernelFlags: readonly string[]): string | undefined {
  for (const [name, range] of Object.entries(ranges)) {
    const value = session[name as keyof SessionOptions];
    if (typeof value !== 'number' || !(value >= range[0] && value <= range[1]))
      return `${name} ${value} is out of range [${range[0]} - ${range[1]}]`;
  }
  if (session.maxWrite % 4096 !== 0) return `maxWrite ${session.maxWrite} is not a multiple of 4096`;
  const unknown = kernelFlags.find((word) => !isKernelFlag(word));
  if (unknown === undefined) return undefined;
  const near = nearest(unknown, kernelFlagNames);
  return `unknown mount option '${unknown}'${near ? `; did you mean '${near}'?` : ''}`;
}
