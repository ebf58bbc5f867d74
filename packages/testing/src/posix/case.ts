/** What the suite is made of: small cases by area, each a sentence that holds. */
import { strict as assert } from 'node:assert';
import { type Errno, errnoName } from '@mortar/core';

import type { World } from './world.ts';

export interface Case {
  readonly name: string;
  run(w: World): void | Promise<void>;
}

export interface Area {
  readonly area: string;
  readonly cases: readonly Case[];
}

export type ErrnoName = keyof typeof Errno;
type Answer = ErrnoName | 'ok';

/** A case that does something and looks at it. */
export function holds(name: string, run: (w: World) => void | Promise<void>): Case {
  return { name, run };
}

/** A case whose last call gets this answer; of several errnos the standard lets a system choose. */
export function gives(answer: Answer | readonly Answer[], name: string, run: (w: World) => number): Case {
  const allowed = typeof answer === 'string' ? [answer] : answer;
  return { name: `${name}: ${allowed.join(' or ')}`, run: (w) => answers(run(w), ...allowed) };
}

/** Expects of a result that it is one of these. */
export function answers(result: number, ...allowed: readonly Answer[]): void {
  const got = result >= 0 ? 'ok' : errnoName(-result);
  assert((allowed as readonly string[]).includes(got), `expected ${allowed.join(' or ')}, got ${got}`);
}

/** Lets the clock that file times come from go on. */
export function tick(ms = 12): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

export const equal: (actual: unknown, expected: unknown, message?: string) => void = assert.deepEqual;
