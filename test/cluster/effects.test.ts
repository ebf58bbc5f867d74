/** What an operation does or asks on other nodes than the one it was given to; one of the three has no brick. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterNode, Nodes, nodesImpossible } from '../support/nodes.ts';

const problem = nodesImpossible();

describe.skipIf(problem !== null)(
  `operations of a pool of three nodes${problem === null ? '' : ` (${problem})`}`,
  () => {
    const cluster = new Nodes(3);
    const [one, two, three] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode];
    const bricks = () => [one, two].map((node) => `${node.address}:${node.at('bricks/d')}`);
    let mounted = '';

    beforeAll(async () => {
      await cluster.start();
      for (const node of [two, three]) await one.must('peer', 'probe', node.address);
      for (const node of cluster.nodes) await eventually('all are connected', () => connected(node));
    }, 180_000);
    afterAll(() => cluster.end(), 60_000);
    afterEach(({ task }) => {
      if (task.result?.state === 'fail') console.error(cluster.logs());
    });

    const connected = async (node: ClusterNode) =>
      (await node.must('peer', 'status')).match(/\(Connected\)/g)?.length === 2;

    async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
      for (const end = Date.now() + 60_000; Date.now() < end; await pause(100)) if (await holds()) return;
      throw new Error(`this did not happen: ${what}`);
    }

    const hosts = (text: string) => [one, two, three].map(({ address }) => text.includes(`${address}:/`));

    it('run the hooks of every node', async () => {
      for (const node of cluster.nodes)
        for (const when of ['pre', 'post']) {
          const script = node.at('lib/hooks/1/start', when, 'S10-say.sh');
          writeFileSync(script, `#!/bin/sh\necho ${when} "$@" >> ${node.at('said')}\n`, { mode: 0o755 });
        }
      await three.must('volume', 'create', 'd', ...bricks(), 'force');
      await three.must('volume', 'start', 'd');
      for (const node of cluster.nodes) {
        const words = `--volname=d --first=yes --version=1 --volume-op=start --gd-workdir=${node.at('lib')}`;
        expect(readFileSync(node.at('said'), 'utf8')).toBe(`pre ${words}\npost ${words}\n`);
      }
    }, 120_000);

    it('show what bricks of other nodes hold', async () => {
      mounted = await three.mount('d', [three]);
      await three.sh(`for i in $(seq 40); do echo $i > ${mounted}/file$i; done; exec 7<${mounted}/file1; cat <&7`);
      for (const section of ['clients', 'mem', 'inode', 'fd', 'callpool', 'detail', 'client-list', 'tasks']) {
        const text = await three.must('volume', 'status', 'd', section);
        if (!['tasks', 'client-list'].includes(section))
          expect([section, hosts(text)]).toEqual([section, [true, true, false]]);
      }
      const clients = await three.must('volume', 'status', 'd', 'clients');
      expect(clients.match(new RegExp(`${three.address}:\\d+`, 'g'))!.length).toBeGreaterThanOrEqual(2);
    }, 120_000);

    it('measure the bricks of other nodes', async () => {
      await three.must('volume', 'profile', 'd', 'start');
      await three.sh(`for i in $(seq 10); do cat ${mounted}/file$i; echo more >> ${mounted}/file$i; done`);
      const profile = await three.must('volume', 'profile', 'd', 'info');
      expect(hosts(profile)).toEqual([true, true, false]);
      expect(profile.match(/WRITE$/gm)!.length).toBeGreaterThanOrEqual(2);
      for (const what of ['open', 'read', 'write']) {
        const top = await three.must('volume', 'top', 'd', what);
        expect([what, hosts(top)]).toEqual([what, [true, true, false]]);
      }
      await three.must('volume', 'profile', 'd', 'stop');
    }, 120_000);

    it('are counted by each node for what runs on it', async () => {
      const [first, , third] = [await one.metrics(), await two.metrics(), await three.metrics()];
      const brick = `volume="d",brick="${one.address}:${one.at('bricks/d')}"`;
      expect(first).toContain(`mortar_process_answers{process="brick",${brick}} 1\n`);
      expect(first).toMatch(new RegExp(`^mortar_fops_total\\{process="brick",${brick},.*fop="WRITE".*\\} [1-9]`, 'm'));
      expect(first).toMatch(/^process_cpu_seconds_total\{process="glusterd"\} \d/m);
      expect(first).toContain('mortar_pool_members 3\n');
      expect(third.match(/^mortar_peer_connected\{.*\} 1$/gm)).toHaveLength(2);
      expect(third).not.toContain('process="brick"');
      // Its own calls: of the command line here, to bricks here, and to and from the other nodes.
      for (const [direction, method] of [
        ['in', 'portmap.signin'],
        ['out', 'brick.profile'],
        ['out', 'pool.hello'],
        ['in', 'pool.learn'],
      ]) {
        const labels = `{process="glusterd",direction="${direction}",method="${method}"`;
        expect(first).toMatch(new RegExp(`^mortar_management_calls_total\\${labels},result="ok"\\} [1-9]`, 'm'));
        expect(first).toMatch(new RegExp(`^mortar_management_call_latency_seconds_count\\${labels}\\} [1-9]`, 'm'));
      }
      expect(third).toMatch(
        /^mortar_management_calls_total\{.*direction="in",method="cli.command",result="ok"\} [1-9]/m,
      );
      // Each family once, as the format wants it.
      const types = [...first.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
      expect(new Set(types).size).toBe(types.length);
    }, 60_000);

    it('have clients dump their state, whichever node they have their volfile from', async () => {
      const dumps = (node: ClusterNode) =>
        readdirSync(node.at('run')).filter((name) => name.startsWith('glusterdump.'));
      const pid = (await three.sh(`pgrep -f -- '--volfile-id=/[d] '`)).trim();
      for (const node of [one, three]) {
        for (const name of dumps(three)) rmSync(three.at('run', name));
        await node.must('volume', 'statedump', 'd', 'client', `node3:${pid}`);
        expect(dumps(three)).toEqual([expect.stringMatching(new RegExp(`^glusterdump\\.${pid}\\.dump\\.\\d+$`))]);
        expect(readFileSync(three.at('run', dumps(three)[0]!), 'utf8')).toContain('d-client-0');
      }
      const wrong = await one.gluster('volume', 'statedump', 'd', 'client', 'node2:1');
      expect([wrong.exitCode, wrong.stderr]).toEqual([
        1,
        expect.stringMatching(/^volume statedump: failed: no client node2:1 of volume d .*kill -USR1 1\n$/),
      ]);
    }, 60_000);

    it('rotate the logs of bricks where they are', async () => {
      await three.must('volume', 'log', 'd', 'rotate');
      for (const node of [one, two]) {
        const logs = () => readdirSync(node.at('log/bricks'));
        expect(logs().filter((name) => /\.log\.\d+$/.test(name))).toHaveLength(1);
        await eventually('the brick has a new log', () => logs().some((name) => name.endsWith('.log')));
      }
    }, 60_000);

    it('move files at the request of a node that has no brick', async () => {
      await three.must('volume', 'add-brick', 'd', `${two.address}:${two.at('bricks/d2')}`, 'force');
      await three.must('volume', 'rebalance', 'd', 'start', 'force');
      for (const node of cluster.nodes)
        await eventually('the rebalance is over', async () =>
          (await node.must('volume', 'rebalance', 'd', 'status')).includes('completed'),
        );
      expect(Number(await two.sh(`ls ${two.at('bricks/d2')} | wc -l`))).toBeGreaterThan(0);
      expect(await three.sh(`cat ${mounted}/file* | wc -l`)).toBe('50\n');
      await three.must('volume', 'remove-brick', 'd', `${two.address}:${two.at('bricks/d2')}`, 'start');
      await eventually('the brick is empty', async () =>
        (await one.must('volume', 'remove-brick', 'd', `${two.address}:${two.at('bricks/d2')}`, 'status')).includes(
          'completed',
        ),
      );
      await one.must('volume', 'remove-brick', 'd', `${two.address}:${two.at('bricks/d2')}`, 'commit');
      expect(await three.sh(`cat ${mounted}/file* | wc -l`)).toBe('50\n');
      await three.sh(`umount ${mounted}`);
    }, 180_000);

    it('heal replicas over nodes', async () => {
      const replicas = cluster.nodes.map((node) => `${node.address}:${node.at('bricks/r')}`);
      await one.must('volume', 'create', 'r', 'replica', '3', ...replicas, 'force');
      await two.must('volume', 'start', 'r');
      const place = await three.mount('r', [three]);
      await three.sh(`echo before > ${place}/file`);
      const pid = (await one.must('volume', 'status', 'r', replicas[1]!)).match(/Y\s+(\d+)/)![1];
      await two.sh(`kill -9 ${pid}`);
      await eventually('the brick is missed', async () =>
        (await one.must('volume', 'heal', 'r', 'info')).includes('Status: Transport endpoint is not connected'),
      );
      await three.sh(`echo after > ${place}/file; echo new > ${place}/new`);
      for (const node of cluster.nodes) {
        const info = await node.must('volume', 'heal', 'r', 'info');
        expect(info).toContain('/file');
        expect(info.match(/Status: Connected/g)).toHaveLength(2);
      }
      await one.must('volume', 'start', 'r', 'force');
      await eventually(
        'the brick is back',
        async () => (await three.must('volume', 'heal', 'r', 'info')).match(/Status: Connected/g)?.length === 3,
      );
      await one.gluster('volume', 'heal', 'r');
      for (const node of cluster.nodes)
        await eventually('nothing is left to heal', async () => {
          const info = await node.must('volume', 'heal', 'r', 'info', 'summary');
          return info.match(/Total Number of entries: 0/g)?.length === 3;
        });
      expect(await two.sh(`cat ${two.at('bricks/r/file')} ${two.at('bricks/r/new')}`)).toBe('after\nnew\n');
      await three.sh(`umount ${place}`);
    }, 180_000);
  },
);
