/** Time and chance of the real world, for processes that have no host (command line, management daemon). */
import { randomBytes, randomInt } from 'node:crypto';
import type { Clock, Random } from '@mortar/core/ports.ts';

export const nodeClock: Clock = {
  nowMs: () => performance.now(),
  wall: () => {
    const ms = Date.now();
    return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1_000_000 };
  },
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

export const nodeRandom: Random = { bytes: (count) => randomBytes(count), integer: (below) => randomInt(below) };
