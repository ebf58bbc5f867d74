import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type TaskProgress,
  taskSchema,
  taskStates,
  type VolumeInfo,
  type VolumeTask,
  volumeInfoSchema,
} from '../volume.ts';
import { nodesOf, nodesWith, nothingYet, resetTask, setsOf, shareOf, withNodes } from './task-nodes.ts';

const uuidOf = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
const own = uuidOf(0);

/** A volume whose bricks are on these nodes, in sets of so many. */
function volumeOn(nodes: readonly number[], size: number): VolumeInfo {
  return volumeInfoSchema.parse({
    name: 'v',
    id: uuidOf(99),
    type: size > 1 ? 'replicate' : 'distribute',
    replicaCount: size,
    status: 'started',
    bricks: nodes.map((node, i) => ({
      host: `n${node}`,
      hostUuid: uuidOf(node),
      path: `/b${i}`,
      brickId: `v-client-${i}`,
    })),
  });
}

const volumes = fc
  .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 5 }))
  .chain(([size, sets, nodes]) =>
    fc
      .array(fc.integer({ min: 1, max: nodes }), { minLength: size * sets, maxLength: size * sets })
      .map((at) => ({ volume: volumeOn(at, size), nodes: [...new Set(at)].map(uuidOf), size, sets })),
  );

/** Turns by set. */
function partsOf(text: string): Map<number, [number, number]> {
  const parts = text.split(',').map((one) => one.split(/[:/]/).map(Number) as [number, number, number]);
  return new Map(parts.map(([set, turn, of]) => [set, [turn, of]]));
}

describe('the shares of a task', () => {
  it('are nothing to speak of for one process: it has everything', () => {
    expect(shareOf(volumeOn([1, 1], 1), [uuidOf(1)], uuidOf(1))).toBe('');
  });

  it('give every set to those of its nodes that take part, each in one turn', () => {
    expect(['1', '2'].map((i) => shareOf(volumeOn([1, 2, 1], 1), [uuidOf(1), uuidOf(2)], uuidOf(Number(i))))).toEqual([
      '0:0/1,2:0/1',
      '1:0/1',
    ]);
    const replicas = volumeOn([3, 1, 2, 1, 2, 3], 3);
    const all = [1, 2, 3].map(uuidOf);
    expect(all.map((node) => shareOf(replicas, all, node))).toEqual(['0:1/3,1:0/3', '0:2/3,1:1/3', '0:0/3,1:2/3']);
  });

  it('leave nothing to nobody where one takes part, and nothing to two', () => {
    fc.assert(
      fc.property(volumes, fc.infiniteStream(fc.boolean()), ({ volume, nodes }, stream) => {
        const taking = nodes.filter(() => stream.next().value);
        if (taking.length < 2) return;
        const parts = taking.map((node) => partsOf(shareOf(volume, taking, node)));
        for (const [i, set] of setsOf(volume).entries()) {
          const turns = parts.flatMap((part) => (part.has(i) ? [part.get(i)!] : []));
          const of = nodesWith(set).filter((node) => taking.includes(node)).length;
          expect(turns.map(([turn]) => turn).sort()).toEqual(Array.from({ length: of }, (_, turn) => turn));
          expect(turns.every(([, each]) => each === of)).toBe(true);
        }
      }),
    );
  });

  it('of a node that has none are a mistake, and not everything', () => {
    expect(() => shareOf(volumeOn([1, 2], 1), [uuidOf(1), uuidOf(2)], uuidOf(3))).toThrow('no share');
  });
});

const task: VolumeTask = taskSchema.parse({
  kind: 'rebalance',
  id: uuidOf(50),
  command: 'force',
  ...nothingYet,
  movedFiles: 4,
  seconds: 9,
});
const rowOf = (state: TaskProgress['state'], more: Partial<TaskProgress> = {}): TaskProgress => ({
  ...nothingYet,
  state,
  ...more,
});

describe('a task of several nodes', () => {
  it('sums up what they did, in the time of the longest', () => {
    const rows = {
      [uuidOf(1)]: rowOf('completed', { movedFiles: 2, seconds: 5 }),
      [own]: rowOf('completed', { movedFiles: 3, seconds: 4 }),
    };
    expect(withNodes(task, rows)).toMatchObject({ state: 'completed', movedFiles: 5, seconds: 5, nodes: rows });
  });

  it('runs as long as one runs, and has failed when one has', () => {
    const states = fc.array(fc.constantFrom(...taskStates), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(states, (given) => {
        const rows = Object.fromEntries(given.map((state, i) => [uuidOf(i), rowOf(state)]));
        const { state } = withNodes(task, rows);
        expect(given).toContain(state);
        if (given.includes('running')) expect(state).toBe('running');
        else if (given.includes('failed')) expect(state).toBe('failed');
        else if (given.includes('stopped')) expect(state).toBe('stopped');
      }),
    );
  });

  it('takes as long as the slowest that runs says', () => {
    const rows = {
      [uuidOf(1)]: rowOf('running', { secondsLeft: 5 }),
      [uuidOf(2)]: rowOf('running', { secondsLeft: 50 }),
      [uuidOf(3)]: rowOf('running'),
      [own]: rowOf('completed', { secondsLeft: 500 }),
    };
    expect(withNodes(task, rows).secondsLeft).toBe(50);
    expect('secondsLeft' in withNodes({ ...task, secondsLeft: 3 }, { [own]: rowOf('completed') })).toBe(false);
  });

  it('was one process in the version before', () => {
    expect(nodesOf({ ...task, node: uuidOf(7) }, own)).toEqual({
      [uuidOf(7)]: rowOf('running', { movedFiles: 4, seconds: 9 }),
    });
    expect(Object.keys(nodesOf(task, own))).toEqual([own]);
    const { node, nodes } = withNodes({ ...task, node: uuidOf(7) }, { [uuidOf(7)]: rowOf('completed') });
    expect([node, Object.keys(nodes!)]).toEqual([undefined, [uuidOf(7)]]);
  });

  it('says nothing of any node any more when bricks were exchanged', () => {
    const reset = resetTask(withNodes(task, { [own]: rowOf('completed'), [uuidOf(1)]: rowOf('failed') }));
    expect([reset.state, ...Object.values(reset.nodes!).map(({ state }) => state)]).toEqual([
      'reset',
      'reset',
      'reset',
    ]);
  });
});
