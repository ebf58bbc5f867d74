/** What GlusterFS leaves on bricks, step by step (`test/fixtures/dht`), is what we leave. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { create, layoutName, link, mkdir, read, rename, rmdir, spread, unlink } from './path-rig.ts';
import { type DistributeRig, distributeRig } from './rig.ts';

interface Step {
  step: string;
  errno?: string;
  diff: Record<string, { added?: Record<string, Node>; removed?: string[]; changed?: Record<string, Change> }>;
}
interface Node {
  type: string;
  mode: string;
  xattrs: Record<string, string>;
}
interface Change {
  after: Record<string, unknown>;
}
const trace = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../../../test/fixtures/dht/trace-${name}.json`, import.meta.url), 'utf8')) as {
    steps: Step[];
  };

describe('the trace of a real client on three subvolumes', () => {
  const { steps } = trace('distribute');
  const step = (start: string) => steps.find((one) => one.step.startsWith(start))!;
  /** Layouts, marks and linktos of a path on the bricks of a step. */
  const written = (at: Step, path: string, prefix: string) =>
    ['brick1', 'brick2', 'brick3'].map((brick) =>
      Object.fromEntries(
        Object.entries(at.diff[brick]?.added?.[path]?.xattrs ?? {}).filter(([name]) => name.startsWith(prefix)),
      ),
    );
  const ours = (rig: DistributeRig, path: string, prefix: string) =>
    Promise.all(
      rig.bricks.map(async (_, i) => {
        const found = await rig.onBrick(i, path);
        return Object.fromEntries(
          Object.entries(found?.xattrs ?? {})
            .filter(([name]) => name.startsWith(prefix))
            .map(([name, value]) => [name, Buffer.from(value).toString('hex')]),
        );
      }),
    );
  const present = (at: Step, path: string) =>
    ['brick1', 'brick2', 'brick3'].map((brick) => at.diff[brick]?.added?.[path] !== undefined);

  it.each(['memory', 'posix'] as const)(
    'leaves the same layouts, marks, files and linktos on bricks, %s',
    async (storage) => {
      const rig = await distributeRig({ storage });
      await rig.walk('/');
      const compare = async (start: string, path: string) => {
        expect(await ours(rig, path, layoutName), start).toEqual(written(step(start), path, layoutName));
        expect(
          (await spread(rig, path)).map((one) => one !== '-'),
          start,
        ).toEqual(present(step(start), path));
      };
      expect((await mkdir(rig, '/d')).ok).toBe(true);
      await compare('mkdir /d', '/d');
      await create(rig, '/d/f1', 'hello\n');
      await compare('create /d/f1', '/d/f1');
      expect((await link(rig, '/d/f1', '/d/ren0L')).ok).toBe(true);
      await compare('link /d/f1 -> /d/hl', '/d/ren0L');
      expect((await link(rig, '/d/f1', '/d/ren2')).ok).toBe(true);
      await compare('link /d/f1 -> /d/ren2', '/d/ren2');
      expect((await unlink(rig, '/d/ren2')).ok).toBe(true);
      expect(await spread(rig, '/d/ren2')).toEqual(['-', '-', '-']);
      expect(await read(rig, '/d/f1')).toBe('hello\n');
      await create(rig, '/d/g1', 'g1 data');
      await compare('create /d/g1', '/d/g1');
      expect((await rename(rig, '/d/g1', '/d/ren0')).ok).toBe(true);
      await compare('rename /d/g1', '/d/ren0');
      expect(await spread(rig, '/d/g1')).toEqual(['-', '-', '-']);
      expect((await rename(rig, '/d/ren0', '/d/ren2x')).ok).toBe(true);
      await compare('rename /d/ren0', '/d/ren2x');
      expect(await spread(rig, '/d/ren0')).toEqual(['-', '-', '-']);
      expect(await read(rig, '/d/ren2x')).toBe('g1 data');
      expect((await unlink(rig, '/d/ren2x')).ok).toBe(true);
      expect(await spread(rig, '/d/ren2x')).toEqual(['-', '-', '-']);
      await mkdir(rig, '/d/sub');
      await mkdir(rig, '/d/sub/deep');
      await compare('mkdir /d/sub', '/d/sub');
      await compare('mkdir /d/sub', '/d/sub/deep');
      expect((await rename(rig, '/d/sub', '/sub2')).ok).toBe(true);
      await compare('rename dir', '/sub2');
      expect((await rmdir(rig, '/sub2/deep')).ok).toBe(true);
      expect(await spread(rig, '/sub2/deep')).toEqual(['-', '-', '-']);
      await mkdir(rig, '/d/setgid', 0o2775);
      await compare('mkdir /d/setgid', '/d/setgid');
      await rig.close();
    },
  );

  it('gives the root its layout at the first lookup', async () => {
    const rig = await distributeRig();
    await rig.walk('/');
    const layouts = await Promise.all([0, 1, 2].map((i) => rig.xattr(i, '/', layoutName)));
    expect(layouts).toEqual([
      '0000000100000000aaaaaaaaffffffff',
      '00000001000000000000000055555554',
      '000000010000000055555555aaaaaaa9',
    ]);
  });
});
