/**
 * What is left to be healed on disk while a brick is away, as GlusterFS 10.3 leaves it after the same commands (traces of a replica 3
 * and of an arbiter volume, granular entry heal): which files accuse the one that is away of what, and which names are recorded.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Brick, startCluster } from '../support/cluster.ts';
import { canMount } from '../support/sandbox.ts';

const before = `mkdir -p d/sub e
for i in 1 2 3 4 5 6 7 8 9; do echo "file $i content" > d/f$i; done
echo x > d/sub/x
printf abc >> d/f1
chmod 600 d/f1`;

const whileAway = `printf ABCD | dd of=d/f1 conv=notrunc status=none
printf EFGH | dd of=d/f1 conv=notrunc status=none
chmod 0700 d/f2
setfattr -n user.a -v 1 d/f3
truncate -s 5 d/f4
echo new > d/new1
mkdir d/newdir
echo in > d/newdir/in
ln -s f1 d/newsl
mkfifo d/newff
rm d/f5
mv d/f6 d/f6r
mv d/f7 e/f7
ln d/f8 e/f8l
chmod 0711 e
rm -r d/sub`;

/** By path: the counters that are not zero; data, metadata, entry. */
const marks = {
  d: 'e',
  'd/f1': 'd',
  'd/f2': 'm',
  'd/f3': 'm',
  'd/f4': 'd',
  'd/new1': 'dm',
  'd/newdir': 'dme',
  'd/newdir/in': 'dm',
  'd/newff': 'm',
  e: 'me',
};

/** By directory. GlusterFS keeps those of one that is gone as well, until it heals; here they go with it. */
const names = [['f5', 'f6', 'f6r', 'f7', 'new1', 'newdir', 'newff', 'newsl', 'sub'], ['f7', 'f8l'], ['in']];

describe.skipIf(!canMount)('a brick that is away is accused as in GlusterFS', () => {
  const cluster = startCluster();

  it.each([
    ['replica 3', ['replica', '3']],
    ['arbiter', ['replica', '2', 'arbiter', '1']],
  ])('%s', { timeout: 120_000 }, async (name, shape) => {
    const volume = name.replace(' ', '');
    const bricks = await cluster.create(volume, shape, 3);
    await cluster.must('volume', 'set', volume, 'cluster.self-heal-daemon', 'off');
    await cluster.must('volume', 'start', volume);
    const mount = await cluster.mount(volume);
    await cluster.sh(before, mount.path);
    await cluster.sh('sync -f .; sleep 3', mount.path);
    for (const brick of bricks) expect(await accusations(brick), brick.name).toEqual({});
    await cluster.killBrick(volume, bricks[1]!);
    await cluster.sh(whileAway, mount.path);
    // What is kept back for a while is on disk by then.
    await cluster.sh('sleep 3', mount.path);
    for (const brick of [bricks[0]!, bricks[2]!]) {
      const found = await accusations(brick);
      expect(found, brick.name).toEqual(
        Object.fromEntries(Object.entries(marks).map(([path, kinds]) => [path, { [`${volume}-client-1`]: kinds }])),
      );
      expect(recorded(brick)).toEqual(names);
    }
    expect(await accusations(bricks[1]!)).toEqual({});
    await cluster.destroy(volume, mount);
  });

  /** By path below the brick, and by whom is accused. */
  async function accusations({ path }: Brick): Promise<Record<string, Record<string, string>>> {
    const find = "find . -path ./.glusterfs -prune -o -name '.glusterfs-*' -prune -o -print0";
    const text = await cluster.sh(
      `${find} | xargs -0 getfattr -h -d -e hex -m '^trusted.afr' -- 2>/dev/null || true`,
      path,
    );
    const found: Record<string, Record<string, string>> = {};
    for (const block of text.split('\n\n')) {
      const [head = '', ...lines] = block.split('\n');
      const named = lines.flatMap((line) => {
        const [, key, value] = /^trusted\.afr\.([^=]+)=0x(.*)$/.exec(line) ?? [];
        const kinds = key === undefined ? '' : kindsOf(value!);
        return kinds === '' ? [] : [[key!, kinds] as const];
      });
      if (named.length > 0) found[head.replace('# file: ', '')] = Object.fromEntries(named);
    }
    return found;
  }

  function recorded({ path }: Brick): string[][] {
    const index = join(path, '.glusterfs/indices/entry-changes');
    const directories = readdirSync(index, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const lists = directories.map((entry) => readdirSync(join(index, entry.name)).sort());
    return lists.filter((list) => list.length > 0).sort((a, b) => b.length - a.length || a[0]!.localeCompare(b[0]!));
  }
});

function kindsOf(value: string): string {
  return [...'dme'].filter((_, i) => Number.parseInt(value.slice(8 * i, 8 * i + 8), 16) !== 0).join('');
}
