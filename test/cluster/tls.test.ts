/** Two nodes and a client that speak TLS to each other and to bricks; who has no certificate of theirs stays outside. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';
import { root } from '../support/sandbox.ts';

const problem = nodesImpossible();

describe.skipIf(problem !== null)(`TLS between nodes${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(4);
  const [one, two, client, stranger] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode, ClusterNode];
  const folder = join(cluster.home, 'certificates');

  function certificate(name: string, by: string | null): void {
    const at = (file: string) => join(folder, file);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', at(`${name}.key`)];
    const signed = by === null ? [] : ['-CA', at(`${by}.pem`), '-CAkey', at(`${by}.key`)];
    const more = ['-subj', `/CN=${name}`, '-days', '2', '-out', at(`${name}.pem`), ...signed];
    execFileSync('openssl', ['req', '-x509', ...key, ...more], { stdio: 'pipe' });
  }

  /** Where each program looks by itself: in the namespace of the node. */
  async function install(node: ClusterNode, name: string, authority: string): Promise<void> {
    const at = (file: string) => join(folder, file);
    const place = node.at('ssl');
    mkdirSync(place, { recursive: true });
    await node.sh(
      `mkdir -p /etc/ssl; cp -r /etc/ssl/. ${place}/; mount --bind ${place} /etc/ssl;` +
        `cp ${at(name)}.pem /etc/ssl/glusterfs.pem; cp ${at(name)}.key /etc/ssl/glusterfs.key; cp ${at(authority)}.pem /etc/ssl/glusterfs.ca`,
    );
    writeFileSync(node.at('lib/secure-access'), '');
    await node.killGlusterd();
    await node.startGlusterd();
  }

  const mountLog = (node: ClusterNode) => readFileSync(node.at('log/mnt-v.log'), 'utf8');

  const tryMount = (node: ClusterNode) =>
    node.run(
      ...['env', `MORTAR_WORK_DIRECTORY=${node.at('lib')}`, join(root, 'bin/glusterfs')],
      ...[
        `--volfile-server=${one.address}`,
        '--volfile-id=/v',
        `--log-file=${node.at('log/mnt-v.log')}`,
        node.at('mnt'),
      ],
    );

  beforeAll(async () => {
    await cluster.start();
    mkdirSync(folder);
    certificate('authority', null);
    certificate('elsewhere', null);
    for (const name of ['node1', 'node2', 'alice', 'bob']) certificate(name, 'authority');
    certificate('mallory', 'elsewhere');
    await install(one, 'node1', 'authority');
    await install(two, 'node2', 'authority');
    await install(client, 'alice', 'authority');
    await install(stranger, 'mallory', 'elsewhere');
  }, 180_000);
  afterAll(() => cluster.end(), 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  it('makes a pool of those whom one authority has signed', async () => {
    await one.must('peer', 'probe', two.address);
    const { stderr } = await one.gluster('peer', 'probe', stranger.address);
    expect(stderr).toContain('Transport endpoint is not connected');
    expect(one.logs()).toMatch(/peer probe of \S+: TLS with \S+ failed: .*list of authorities/);
  }, 60_000);

  it('serves a volume to a client with a certificate', async () => {
    const bricks = [one, two].map((node) => `${node.address}:${node.at('bricks/v')}`);
    await one.must('volume', 'create', 'v', ...bricks, 'force');
    await one.must('volume', 'set', 'v', 'client.ssl', 'on');
    await one.must('volume', 'set', 'v', 'server.ssl', 'on');
    await one.must('volume', 'set', 'v', 'auth.ssl-allow', 'node1,node2,alice');
    await one.must('volume', 'start', 'v');
    const { exitCode, stderr } = await tryMount(client);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    await client.sh(`cd ${client.at('mnt')}; for i in 1 2 3 4 5 6 7 8; do echo $i > f$i; done; cat f?`);
    // More than one read of a socket.
    await client.sh(`cd ${client.at('mnt')}; head -c 3000000 /dev/urandom > big; cp big ${client.at('copy')}`);
    await client.sh(`umount ${client.at('mnt')}`);
    expect((await tryMount(client)).exitCode).toBe(0);
    await client.sh(`cmp ${client.at('mnt')}/big ${client.at('copy')}; umount ${client.at('mnt')}`);
  }, 120_000);

  it('refuses a client by the name of its certificate, and says why', async () => {
    await client.sh(
      `cp ${join(folder, 'bob')}.pem /etc/ssl/glusterfs.pem; cp ${join(folder, 'bob')}.key /etc/ssl/glusterfs.key`,
    );
    await tryMount(client);
    await client.sh(`ls ${client.at('mnt')}/f1 && exit 1; umount ${client.at('mnt')} 2>/dev/null; true`);
    expect(mountLog(client)).toContain("'bob', the name of its certificate, is not in auth.ssl-allow");
  }, 120_000);

  it('refuses who has no certificate that it trusts, and who speaks in the clear', async () => {
    expect((await tryMount(stranger)).exitCode).not.toBe(0);
    expect(mountLog(stranger)).toMatch(/TLS with \S+ failed/);
    await stranger.sh(`rm ${stranger.at('lib/secure-access')}`);
    expect((await tryMount(stranger)).exitCode).not.toBe(0);
    expect(one.logs()).toMatch(/TLS: \S+ was refused: /);
  }, 120_000);
});
