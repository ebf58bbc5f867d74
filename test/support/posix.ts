/** The POSIX suite in a test file: every case of every area below a directory. */
import { areas, runCase } from '@mortar/testing/posix/index.ts';
import { beforeAll, describe, it } from 'vitest';
import { startCluster } from './cluster.ts';
import { canMount } from './sandbox.ts';

export function posixSuite(directory: () => string): void {
  describe.each(areas)('$area', ({ cases }) => {
    it.each(cases)('$name', (one) => runCase(directory(), one));
  });
}

/** On a mount of a new volume of this shape. */
export function posixSuiteOnVolume(words: readonly string[], bricks: number): void {
  describe.skipIf(!canMount)(`on a volume of ${[...words, bricks, 'bricks'].join(' ')}`, () => {
    const cluster = startCluster();
    let mnt = '';
    beforeAll(async () => {
      await cluster.create('v', words, bricks);
      await cluster.must('volume', 'start', 'v');
      // The cases change the groups of their thread in less time than a mount keeps them by default.
      mnt = (await cluster.mount('v', '--gid-timeout=0')).path;
    });
    posixSuite(() => mnt);
  });
}
