/** Files of a volume on three nodes are moved by a process on each of them; one is killed on the way, one node has no management. */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();
const files = 900;

interface Row {
  name: string;
  moved: number;
  scanned: number;
  failures: number;
  state: string;
}

function rowsOf(table: string): Row[] {
  const form = /^ +(\S+) +(\d+) +\S+ +(\d+) +(\d+) +\d+ +(completed|in progress|failed|stopped) +\d+:\d\d:\d\d$/gm;
  return [...table.matchAll(form)].map(([, name, moved, scanned, failures, state]) => ({
    name: name!,
    moved: Number(moved),
    scanned: Number(scanned),
    failures: Number(failures),
    state: state!,
  }));
}

describe.skipIf(problem !== null)(`files move on three nodes${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(3);
  const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
  const bricks = (name: string) => cluster.nodes.map((node) => `${node.address}:${node.at('bricks', name)}`);
  /** By this name the others know node 1, which nobody has probed. */
  const first = 'node1';
  let mounted = '';
  let sums = '';

  beforeAll(async () => {
    await cluster.start();
    for (const node of [two, three]) await one.must('peer', 'probe', node.address);
    for (const node of cluster.nodes) await eventually('all are connected', () => connected(node));
    await one.must('volume', 'create', 'd', ...bricks('a'), 'force');
    await one.must('volume', 'start', 'd');
    mounted = await three.mount('d', [one]);
    await three.sh(
      `cd ${mounted}; mkdir x y; for i in $(seq ${files / 3}); do head -c $((i * 40)) /dev/zero | tr '\\0' "$i" > f$i;` +
        ` echo $i > x/g$i; echo more $i > y/h$i; done; ln f1 x/hard; ln -s f2 y/soft`,
    );
    sums = await content();
  }, 240_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  const connected = async (node: ClusterNode) =>
    (await node.must('peer', 'status')).match(/\(Connected\)/g)?.length === 2;
  const content = () =>
    three.sh(`cd ${mounted}; find . -type f | sort | xargs sha1sum; find . -type l | sort | xargs readlink`);

  async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (const end = Date.now() + 120_000; Date.now() < end; await pause(100)) if (await holds()) return;
    throw new Error(`this did not happen: ${what}`);
  }

  /** Where each file has its data, by its path. */
  async function places(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const node of cluster.nodes) {
      const list = `cd ${node.at('bricks')}; find . -path '*/.glusterfs' -prune -o \\( -type f ! -perm -1000 -o -type l \\) -print`;
      for (const line of (await node.sh(list)).split('\n')) {
        const [, brick, path] = /^\.\/(\w+)\/(.+)$/.exec(line) ?? [];
        if (brick && path) found.set(path, `${node.address}:${brick}`);
      }
    }
    return found;
  }

  async function completed(node: ClusterNode, ...words: string[]): Promise<Row[]> {
    let rows: Row[] = [];
    await eventually(`${words.join(' ')} has come to its end`, async () => {
      const table = await node.must('volume', ...words, 'status');
      rows = rowsOf(table);
      if (rows.some(({ state }) => state === 'failed')) throw new Error(table);
      return rows.length > 0 && rows.every(({ state }) => state === 'completed');
    });
    return rows;
  }

  const processOf = async (node: ClusterNode) =>
    (await node.sh('pgrep -f -- "[-]-process-name rebalance" || true')).trim().split('\n').filter(Boolean).map(Number);

  it('by a process of each node, which says what it did', async () => {
    const before = await places();
    await one.must('volume', 'add-brick', 'd', ...bricks('b'), 'force');
    await two.must('volume', 'rebalance', 'd', 'start', 'force');
    const rows = await completed(two, 'rebalance', 'd');
    expect(rows.map(({ name }) => name)).toEqual([three.address, first, 'localhost']);
    for (const row of rows) {
      expect(row.moved, row.name).toBeGreaterThan(20);
      expect(row.failures).toBe(0);
    }
    const after = await places();
    const changed = [...after].filter(([path, place]) => before.get(path) !== place);
    // A file of two names that moves has two names at its new place.
    const hard = changed.filter(([path]) => path === 'f1' || path === 'x/hard').length === 2 ? 1 : 0;
    const sum = rows.reduce((total, { moved }) => total + moved, 0);
    expect(sum).toBe(changed.length - hard);
    expect(await content()).toBe(sums);
    const seen = rows.map(({ scanned }) => scanned).reduce((total, each) => total + each, 0);
    expect(seen).toBeGreaterThanOrEqual(after.size - 1);
    // From each node the same, itself last.
    const seenBy = rowsOf(await three.must('volume', 'rebalance', 'd', 'status'));
    expect(seenBy.map(({ name, moved }) => [name, moved])).toEqual([
      [two.address, rows[2]!.moved],
      [first, rows[1]!.moved],
      ['localhost', rows[0]!.moved],
    ]);
    const xml = await one.must('--xml', 'volume', 'rebalance', 'd', 'status');
    expect(xml.match(/<node>/g)).toHaveLength(3);
    expect(/<aggregate>\s*<files>(\d+)</.exec(xml)![1]).toBe(`${sum}`);
    // Each looked after what was on its own bricks.
    const left = (address: string) => changed.filter(([path]) => before.get(path)?.startsWith(address)).length;
    expect(rows[1]!.moved).toBeGreaterThanOrEqual(left(one.address) - 1);
    expect(rows[1]!.moved).toBeLessThanOrEqual(left(one.address));
    // Nothing is misplaced any more, and every directory says so: its layouts have the volume's commit hash.
    const words = await Promise.all(cluster.nodes.flatMap((node) => ['a', 'b'].map((name) => commitsOf(node, name))));
    expect(new Set(words.flat()).size, words.join()).toBe(1);
    expect(words.flat()).toHaveLength(6 * 4);
  }, 240_000);

  /** The volume's commit hash on a brick, and those of its three directories. */
  async function commitsOf(node: ClusterNode, brick: string): Promise<number[]> {
    const hex = (path: string, name: string) =>
      node.sh(`getfattr --absolute-names --only-values -n ${name} ${node.at('bricks', brick)}/${path} | od -An -tx1`);
    const bytes = async (path: string, name: string) => Buffer.from((await hex(path, name)).replace(/\s/g, ''), 'hex');
    const volume = Number((await bytes('.', 'trusted.glusterfs.dht.commithash')).toString('latin1').replace(/\0$/, ''));
    const layouts = ['.', 'x', 'y'].map(async (path) => (await bytes(path, 'trusted.glusterfs.dht')).readUInt32BE(0));
    return [volume, ...(await Promise.all(layouts))];
  }

  it('also when one of them is killed: it is started again, and nothing is left behind', async () => {
    await one.must('volume', 'set', 'd', 'cluster.rebal-throttle', 'lazy');
    // Its requests are still carried out when it stands still: what a listing has shown may be gone.
    const mine = `find ${two.at('bricks/b')} -ignore_readdir_race -path '*/.glusterfs' -prune -o -type f ! -perm -1000 -print`;
    const filesLeft = async () => Number(await two.sh(`${mine} | wc -l`));
    const had = await filesLeft();
    await one.must('volume', 'remove-brick', 'd', ...bricks('b'), 'start');
    const progress = two.at('lib/vols/d/rebalance/status.json');
    const moved = () => {
      try {
        return (JSON.parse(readFileSync(progress, 'utf8')) as { movedFiles: number }).movedFiles;
      } catch {
        return 0;
      }
    };
    let pid = '';
    await eventually('node 2 begins', async () => {
      pid = `${(await processOf(two))[0] ?? ''}`;
      return pid !== '';
    });
    // It runs for moments only, so that it is in the middle however fast the machine is.
    for (;;) {
      await two.sh(`kill -STOP ${pid}`);
      if ((await filesLeft()) < had) break;
      await two.sh(`kill -CONT ${pid}; sleep 0.05`);
    }
    expect(await filesLeft()).toBeGreaterThan(0);
    const known = moved();
    await two.sh(`kill -9 ${pid}`);
    await one.must('volume', 'set', 'd', 'cluster.rebal-throttle', 'aggressive');
    const rows = await completed(one, 'remove-brick', 'd', ...bricks('b'));
    expect(rows.map(({ name }) => name)).toEqual([two.address, three.address, 'localhost']);
    for (const row of rows) expect(row.moved, row.name).toBeGreaterThan(20);
    expect(rows[0]!.moved).toBeGreaterThanOrEqual(known);
    expect(await two.sh(`grep -c 'rebalance process of d was started again' ${two.at('log/glusterd.log')}`)).toBe(
      '1\n',
    );
    await one.must('volume', 'remove-brick', 'd', ...bricks('b'), 'commit');
    expect(await content()).toBe(sums);
    for (const place of (await places()).values()) expect(place).toMatch(/:[ab]$/);
    for (const node of cluster.nodes)
      expect(
        await node.sh(`find ${node.at('bricks/b')} -path '*/.glusterfs' -prune -o -type f ! -perm -1000 -print`),
      ).toBe('');
  }, 240_000);

  it('by those whose management is there, where replicas are left', async () => {
    await one.must('volume', 'create', 'r', 'replica', '3', ...bricks('r'), 'force');
    await one.must('volume', 'start', 'r');
    const place = await two.mount('r', [one]);
    await two.sh(`for i in $(seq 150); do echo content $i > ${place}/f$i; done`);
    const all = () => two.sh(`cd ${place}; sha1sum $(seq -f f%g 150)`);
    const before = await all();
    await one.must('volume', 'add-brick', 'r', ...bricks('s'), 'force');
    await three.killGlusterd();
    await eventually('node 3 is missed', async () => (await one.must('peer', 'status')).includes('(Disconnected)'));
    const refused = await one.gluster('volume', 'rebalance', 'd', 'start', 'force');
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      `volume rebalance: d: failed: Host ${three.address} not connected\n`,
    ]);
    await one.must('volume', 'rebalance', 'r', 'start', 'force');
    const rows = await completed(one, 'rebalance', 'r');
    expect(rows.map(({ name }) => name)).toEqual([two.address, 'localhost']);
    for (const row of rows) expect(row.moved, row.name).toBeGreaterThan(10);
    expect(rows.reduce((total, { scanned }) => total + scanned, 0)).toBeGreaterThanOrEqual(150);
    expect(await all()).toBe(before);
    await three.startGlusterd();
    await eventually('node 3 is back', () => connected(one));
    await two.sh(`umount ${place}`);
  }, 240_000);

  it('until they are stopped, all of them', async () => {
    await one.must('volume', 'set', 'd', 'cluster.rebal-throttle', 'lazy');
    const leaving = bricks('a')[0]!;
    await one.must('volume', 'remove-brick', 'd', leaving, 'start');
    // Of the only node that has anything to do.
    const stopped = rowsOf(await two.must('volume', 'remove-brick', 'd', leaving, 'stop'));
    expect(stopped.map(({ name }) => name)).toEqual([first]);
    await one.must('volume', 'rebalance', 'd', 'start', 'force');
    const rows = rowsOf(await three.must('volume', 'rebalance', 'd', 'stop'));
    expect(rows.map(({ name }) => name)).toEqual([two.address, first, 'localhost']);
    for (const { state } of rows) expect(['stopped', 'completed']).toContain(state);
    for (const node of cluster.nodes) expect(await processOf(node)).toEqual([]);
    expect(await content()).toBe(sums);
    await three.sh(`umount ${mounted}`);
  }, 240_000);
});
