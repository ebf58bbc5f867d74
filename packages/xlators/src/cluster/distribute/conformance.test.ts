import { fopConformance } from '@mortar/testing/conformance/index.ts';
import { describe } from 'vitest';
import { distributeRig } from './rig.ts';

// Over bricks in memory: on disk the same suite takes minutes (set CONFORMANCE_STORAGE=posix).
const storage = process.env.CONFORMANCE_STORAGE === 'posix' ? 'posix' : 'memory';

describe(`distribute over three bricks, ${storage}`, () => {
  fopConformance(async () => {
    const { ops, services, close } = await distributeRig({ storage });
    return { ops, services, close };
  });
});
