/** A client outside of the pool that may mount one directory: what it can do in it, and that the bricks let it reach nothing else. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/cluster.ts';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';
import { root } from '../support/sandbox.ts';

const problem = nodesImpossible();

describe.skipIf(problem !== null)(`a client of a directory${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(2);
  const [server, client] = cluster.nodes as [ClusterNode, ClusterNode];
  const bricks = (names: string) => [...names].map((name) => `${server.address}:${server.at('bricks', name)}`);
  const names = (brick: string, path: string) => readdirSync(server.at('bricks', brick, path));
  const log = (name: string) => client.at('log', `${name}.log`);
  let whole = '';

  const tryMount = (what: string) =>
    client.run(
      ...[join(root, 'bin/glusterfs'), `--volfile-server=${server.address}`, `--volfile-id=/v${what}`],
      ...[`--log-file=${log('mnt')}`, client.at('mnt')],
    );
  const inside = (script: string) => client.sh(`cd ${client.at('mnt')}; ${script}`);

  beforeAll(async () => {
    await cluster.start();
    await server.must('volume', 'create', 'v', 'replica', '2', ...bricks('abcd'), 'force');
    await server.must('volume', 'set', 'v', 'auth.allow', `/home(${client.address}),/other(10.9.9.9)`);
    await server.must('volume', 'start', 'v');
    whole = await server.mount('v', [server]);
    await server.sh(`cd ${whole}; mkdir -p home other/deep; echo secret > other/deep/file; echo top > top`);
  }, 120_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  it('gets nothing else', async () => {
    for (const what of ['', '/other', '/home/../other']) {
      await tryMount(what);
      await client.sh(
        `ls ${client.at('mnt')}/deep ${client.at('mnt')}/top && exit 1; umount -l ${client.at('mnt')} || true`,
      );
    }
    expect(readFileSync(log('mnt'), 'utf8')).toContain('.allow for /other');
  }, 120_000);

  it('works in it as in any volume', async () => {
    expect(await tryMount('/home')).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await inside('ls -A . | wc -l')).trim()).toBe('0');
    await inside(
      'mkdir -p a/b/c; for i in $(seq 30); do echo $i > a/b/f$i; done; mv a/b a/d; ln a/d/f1 a/link; mv a/d/f2 a/moved;' +
        'ln -s ../other out; rm a/d/f3; cat a/d/f* a/link a/moved > all; chmod 600 all; truncate -s 5 all; stat -f . > /dev/null',
    );
    // A name in the directory, and a file that is removed while it is open.
    await inside('exec 7<> a/d/f9; rm a/d/f9; echo more >&7; stat -L /proc/self/fd/7 > /dev/null');
    expect((await inside('ls a/d | wc -l')).trim()).toBe('28');
    await server.sh(
      `cd ${whole}/home; test $(ls a/d | wc -l) = 28; test $(stat -c %h a/link) = 2; test $(stat -c %s all) = 5`,
    );
    await inside('ls out/ 2>/dev/null && exit 1; cp -r a copy; rm -r copy; test ! -e copy');
  }, 120_000);

  it('does not lose what it may have when bricks are added', async () => {
    await server.must('volume', 'add-brick', 'v', ...bricks('ef'), 'force');
    expect(names('e', '.').toSorted()).toContain('home');
    await server.must('volume', 'rebalance', 'v', 'fix-layout', 'start');
    await eventually('its new files are on the new bricks, too', async () => {
      await inside('mkdir -p later; touch later/$RANDOM$RANDOM');
      return (
        names('e', '.').includes('home') && names('e', 'home').includes('later') && names('e', 'home/later').length > 0
      );
    });
    await inside('rm -r later a');
  }, 120_000);

  it('is sent away when it may no more', async () => {
    await server.must('volume', 'set', 'v', 'auth.allow', '/other(10.9.9.9)');
    await eventually('nothing is there any more', async () => {
      const { exitCode } = await client.run('timeout', '20', 'ls', client.at('mnt'));
      return exitCode !== 0;
    });
    await server.must('volume', 'set', 'v', 'auth.allow', `/home(${client.address})`);
    await eventually('it is there again', async () => (await client.run('ls', client.at('mnt'))).exitCode === 0);
    await client.sh(`umount ${client.at('mnt')}`);
  }, 120_000);
});
