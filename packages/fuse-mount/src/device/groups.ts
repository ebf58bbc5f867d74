/** Supplementary groups of callers, from /proc/PID/status, kept a short while: a pid is soon another process. */
import { readFileSync } from 'node:fs';
import type { Clock } from '@mortar/core';
import type { GroupSource } from '../session/call.ts';

interface Known {
  uid: number;
  groups: readonly number[];
  until: number;
}

const none: readonly number[] = [];
const entriesMax = 4096;

export class ProcGroups implements GroupSource {
  readonly #clock: Clock;
  readonly #keepMs: number;
  readonly #read: (pid: number) => string | undefined;
  readonly #known = new Map<number, Known>();

  constructor(clock: Clock, keepMs: number, read = readStatus) {
    this.#clock = clock;
    this.#keepMs = keepMs;
    this.#read = read;
  }

  groupsOf(pid: number, uid: number): readonly number[] {
    const now = this.#clock.nowMs();
    const known = this.#known.get(pid);
    if (known && known.until > now && known.uid === uid) return known.groups;
    // Pid 0: the caller is in a pid namespace that is not seen from here.
    const status = pid === 0 ? undefined : this.#read(pid);
    const groups = status === undefined ? none : parseGroups(status);
    if (this.#known.size >= entriesMax) this.#known.clear();
    this.#known.set(pid, { uid, groups, until: now + this.#keepMs });
    return groups;
  }
}

export function parseGroups(status: string): readonly number[] {
  const line = /^Groups:\t?(.*)$/m.exec(status)?.[1] ?? '';
  return line
    .split(' ')
    .filter((word) => /^\d+$/.test(word))
    .map(Number);
}

function readStatus(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    return undefined;
  }
}
