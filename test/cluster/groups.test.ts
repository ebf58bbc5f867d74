/** Who is in a group is the bricks' matter with server.manage-gids: a client's word counts without it, the brick's host's with it. */
import { appendFileSync, copyFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();
const staff = 5000;
const [member, stranger] = [5001, 5002];

describe.skipIf(problem !== null)(`groups of users${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(2);
  const [server, client] = cluster.nodes as [ClusterNode, ClusterNode];
  /** Where anybody may go, which the nodes' own directories are not for. */
  const place = '/mnt';

  beforeAll(async () => {
    await cluster.start();
    for (const file of ['passwd', 'group']) {
      copyFileSync(`/etc/${file}`, server.at(file));
      await server.sh(`mount --bind ${server.at(file)} /etc/${file}`);
    }
    // More groups than one question has room for, and the one that counts is the last.
    const others = Array.from({ length: 100 }, (_, i) => `other${i}:x:${6000 + i}:member`);
    appendFileSync(server.at('passwd'), `member:x:${member}:${member}::/:/bin/sh\n`);
    appendFileSync(server.at('group'), `${others.join('\n')}\nstaff7:x:${staff}:member\n`);
    await server.must('volume', 'create', 'v', `${server.address}:${server.at('bricks/v')}`, 'force');
    await server.must('volume', 'start', 'v');
    await client.sh(`mount --bind ${await client.mount('v', [server])} ${place}`);
    await client.sh(`echo secret > ${place}/f; chown 0:${staff} ${place}/f; chmod 640 ${place}/f`);
  }, 180_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  /** What a process reads whose client says that it is in the group. */
  const reads = (uid: number) =>
    client.sh(`setpriv --reuid ${uid} --regid ${uid} --groups ${staff} cat ${place}/f 2>&1 || true`);

  it('are those that the client tells', async () => {
    expect(await reads(member)).toBe('secret\n');
    expect(await reads(stranger)).toBe('secret\n');
  }, 60_000);

  it('are those of the brick with manage-gids', async () => {
    await server.must('volume', 'set', 'v', 'server.manage-gids', 'on');
    await expect.poll(() => reads(stranger), { timeout: 20_000 }).toContain('Permission denied');
    expect(await reads(member)).toBe('secret\n');
    const log = await server.sh(`cat ${server.at('log/bricks')}/*.log`);
    expect(log).toContain(
      `the groups of user ${stranger} cannot be found (server.manage-gids): this host has no such user`,
    );
  }, 60_000);

  it('and the client’s again without it', async () => {
    await server.must('volume', 'reset', 'v', 'server.manage-gids');
    await expect.poll(() => reads(stranger), { timeout: 20_000 }).toBe('secret\n');
  }, 60_000);
});
