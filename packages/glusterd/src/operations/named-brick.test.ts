/** Bricks are found by any name of their node. */
import { describe, expect, it } from 'vitest';
import { equal, fourNodes, node, pool } from '../testing/four-nodes-rig.ts';

fourNodes();

const [volume, force] = ['v', true];
const bricks = () => [1, 2, 3, 1, 2, 3].map((index, at) => node(index).at(`b${at}`));
/** The brick by another name of its node, and one that no volume has. */
const other = (at: number) => bricks()[at]!.replace('10.9.0.', 'node');
const wrong = () => `node3:${node(2).root}/b1`;

async function make() {
  const members = await pool(3);
  await node(1).create('v', bricks(), { type: 'replicate', replica: 3 });
  await node(1).done({ verb: 'volume.start', volume, force: false });
  await equal(members);
}

describe('a brick by another name of its node', () => {
  it('is shown, measured and rotated, also on nodes that never heard the name', async () => {
    await make();
    for (const index of [1, 2, 3]) {
      const one = node(index);
      const shown = await one.done({ verb: 'volume.status', volume, brick: other(1) });
      const rows = shown.volumes[0]!.processes.map(({ hostname, path }) => `${hostname}:${path}`);
      expect(rows).toEqual([bricks()[1]]);
      expect(await one.run({ verb: 'volume.log.rotate', volume, brick: other(1) })).toMatchObject({ ok: true });
      expect(await one.run({ verb: 'volume.top', volume, operation: 'open', brick: other(1) })).toMatchObject({
        ok: true,
      });
      expect(await one.refusal({ verb: 'volume.status', volume, brick: wrong() })).toBe(
        `No brick ${wrong()} in volume v`,
      );
      expect(await one.refusal({ verb: 'volume.log.rotate', volume, brick: wrong() })).toMatch(/^Incorrect brick/);
      expect(await one.refusal({ verb: 'volume.top', volume, operation: 'open', brick: wrong() })).toMatch(
        /is not part of volume v$/,
      );
    }
  });

  it('leaves, and is not counted twice', async () => {
    await make();
    const remove = { verb: 'volume.remove-brick', volume } as const;
    const twice = [bricks()[3]!, other(3), other(4)];
    expect(await node(2).refusal({ ...remove, bricks: twice, action: 'force' })).toBe(
      `Brick ${other(3)} is given twice: it is ${bricks()[3]}`,
    );
    const leaving = [other(3), bricks()[4]!, other(5)];
    await node(2).done({ ...remove, bricks: leaving, action: 'start' });
    for (const index of [1, 2, 3]) {
      const named = { ...remove, bricks: [bricks()[3]!, other(4), bricks()[5]!] };
      expect(await node(index).run({ ...named, action: 'status' })).toMatchObject({ ok: true });
      const staying = await node(index).refusal({ ...remove, bricks: [other(0)], action: 'status' });
      expect(staying).toBe(`Incorrect brick ${other(0)} for volume v`);
    }
    await node(3).done({ ...remove, bricks: leaving, action: 'stop' });
    await node(3).done({ ...remove, bricks: leaving, action: 'force' });
    expect((await node(1).done({ verb: 'volume.info', volume })).volumes[0]!.bricks).toHaveLength(3);
  });

  it('is replaced, and comes back under the name that it is given', async () => {
    await make();
    for (const one of [node(1), node(2), node(3)]) one.processes.answers = { 'brick.blame': {} };
    const named = () =>
      node(1)
        .done({ verb: 'volume.info', volume })
        .then(({ volumes }) => volumes[0]!.bricks[1]!.name);
    const target = node(2).at('new');
    const replace = { verb: 'volume.replace-brick', volume, ignorePartition: false } as const;
    expect(await node(1).refusal({ ...replace, source: wrong(), target })).toMatch(/does not exist in volume: v$/);
    await node(1).done({ ...replace, source: other(1), target });
    expect(await named()).toBe(target);
    const source = target.replace('10.9.0.', 'node');
    const reset = { verb: 'volume.reset-brick', volume, source, ignorePartition: false } as const;
    await node(3).done({ ...reset, action: 'start', force: false });
    await node(3).done({ ...reset, action: 'commit', target: source, force });
    expect(await named()).toBe(source);
  });
});
