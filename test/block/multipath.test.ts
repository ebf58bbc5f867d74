/** A device over two links of two network namespaces, of which one is cut, and one goes silent: nobody who uses it notices more than a wait. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { RawClient } from '@mortar/block/nbd/client-rig.ts';
import { Command } from '@mortar/block/nbd/constants.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canMakeNetworks, Networks } from '../../bench/networks.mjs';
import { eventually } from '../support/cluster.ts';
import { ensureBuilt, isAlive, root, Sandbox, until } from '../support/sandbox.ts';

const canRun = canMakeNetworks();
if (!canRun) console.log('multipath: network namespaces with tbf cannot be made here: its tests are skipped');

/** What a path that is found dead and a busy machine may take; a connection of TCP alone would take minutes. */
const waitMaxMs = 15_000;
const port = 5000;
const blockBytes = 256 * 1024;
const blocks = 32;
let box: Sandbox;
let net: Networks;
const pids: number[] = [];

/** Starts a daemon in a namespace. */
function start(space: string, name: string, ...words: string[]): void {
  const pidFile = join(box.run, `${name}.pid`);
  const [program, ...rest] = net.inside(space, join(root, 'bin', name), ['-p', pidFile, ...words]);
  const { status, stderr } = spawnSync(program, rest, { env: box.env, encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) throw new Error(`${name}: ${stderr}`);
  pids.push(Number(readFileSync(pidFile, 'utf8')));
}

const socket = () => join(box.run, 'rsiod.socket');
const status = () => box.command('rsconfig', '-s', socket(), '-m', 'status').stdout;
const pathsUp = () => (status().match(/rx: ok/g) ?? []).length;

beforeAll(() => {
  if (!canRun) return;
  ensureBuilt();
  box = new Sandbox();
  net = new Networks(2);
  const faces = [0, 1].map(
    (i) => `[interface if${i}]\naddress=${net.serverAddress(i)}\nport=${port}\ndiscovery=broadcast\n`,
  );
  const server = `[namespace osl]\n[server big-9]\n${faces.join('')}[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n[device disk]\npath=${join(box.path, 'disk')}\nsize=64m\ncreate=yes\n`;
  start(net.server, 'rssrv', '-c', box.file('rssrvcfg', server));
  const own = [0, 1].map((i) => `[interface if${i}]\naddress=${net.clientAddress(i)}\n`);
  const places = [0, 1].map((i) => `[server s${i}]\naddress=${net.serverAddress(i)}\n`);
  const client = `[defaults]\ndiscovery=broadcast\n${own.join('')}[namespace osl]\nnodename=big-2\nnodekey=0xbig2\n${places.join('')}`;
  start(net.client, 'rsiod', '-c', box.file('rscltcfg', client), '-s', socket(), '-e', join(box.run, 'nbd'));
}, 120_000);

afterAll(async () => {
  for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGTERM');
  for (const pid of pids) if (!(await until(() => !isAlive(pid), 6000))) process.kill(pid, 'SIGKILL');
  net?.end();
  await box?.end();
});

/** Writes blocks and reads them again, until it is told to end; every byte is looked at. */
class Work {
  readonly #clients: RawClient[] = [];
  readonly #running: Promise<void>[] = [];
  #isOver = false;
  rounds = 0;
  longestMs = 0;

  static async begin(): Promise<Work> {
    const work = new Work();
    for (let i = 0; i < 4; i++) {
      const duplex = connect(join(box.run, 'nbd'));
      await new Promise((resolve, reject) => duplex.once('connect', resolve).once('error', reject));
      const client = new RawClient(duplex);
      await client.go('osl/disk');
      work.#clients.push(client);
      work.#running.push(work.#run(client, i));
    }
    return work;
  }

  async #timed<T>(request: Promise<T>): Promise<T> {
    const began = performance.now();
    const reply = await request;
    this.longestMs = Math.max(this.longestMs, performance.now() - began);
    return reply;
  }

  async #run(client: RawClient, index: number): Promise<void> {
    for (let round = 0; !this.#isOver; round++) {
      const offset = ((round % blocks) * 4 + index) * blockBytes;
      const payload = Buffer.alloc(blockBytes, `${index} ${round} `);
      const written = await this.#timed(client.request({ type: Command.WRITE, offset, payload }));
      const read = await this.#timed(client.request({ type: Command.READ, offset, length: blockBytes }));
      expect([written.error, read.error]).toEqual([0, 0]);
      expect(read.data.equals(payload), `what was read at ${offset} is not what was written`).toBe(true);
      this.rounds++;
    }
  }

  async more(rounds: number): Promise<void> {
    const wanted = this.rounds + rounds;
    const isDone = eventually(`${rounds} more rounds are done`, () => this.rounds >= wanted);
    await Promise.race([isDone, ...this.#running]);
    await isDone;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
    for (const client of this.#clients) client.end();
  }
}

describe.skipIf(!canRun)('a device over two links', { timeout: 180_000 }, () => {
  it('finds both, and what they are like', async () => {
    await eventually('both paths are up', () => pathsUp() === 2);
    const { explored } = JSON.parse(box.command('rsconfig', '-s', socket(), '-qvv', '--json').stdout);
    const ways = explored.servers[0].ways.map((way: Record<string, unknown>) => [
      way.from,
      way.address,
      way.problem,
      way.mtu,
    ]);
    const good = (link: number) => [net.clientAddress(link), net.serverAddress(link), null, 1500];
    // From one network to the other there is no way, but for machines that pass on what is not theirs.
    expect(ways).toEqual(expect.arrayContaining([good(0), good(1)]));
    // Without IPv6 the kernel does not tell.
    for (const { mtu } of explored.interfaces) expect([1500, null]).toContain(mtu);
  });

  it('is used without an error while one is cut, and while one goes silent', async () => {
    expect(box.command('rsconfig', '-s', socket(), '-a', 'disk').stdout).toBe('osl:disk\n');
    const work = await Work.begin();
    await work.more(20);
    net.cut(0);
    await eventually('the cut is seen', () => pathsUp() === 1);
    await work.more(20);
    net.mend(0);
    await eventually('the link is used again', () => pathsUp() === 2);
    await work.more(20);
    net.silence(1);
    await eventually('the silence is seen', () => pathsUp() === 1);
    await work.more(20);
    net.speak(1);
    await eventually('the link is used again', () => pathsUp() === 2);
    await work.more(20);
    await work.end();
    expect(work.longestMs).toBeLessThan(waitMaxMs);
    expect(box.command('rsconfig', '-s', socket(), '-d', 'disk').stdout).toBe('osl:disk\n');
  });

  it('finds servers of its networks without any address', async () => {
    const config = `[defaults]\ndiscovery=broadcast\n[interface if0]\naddress=${net.clientAddress(0)}\n[namespace other]\nnodename=x\n[server none]\naddress=${net.clientAddress(0)}\nport=1\n`;
    const own = join(box.run, 'second.socket');
    const files = ['-s', own, '-e', join(box.run, 'second.nbd'), '-l', join(box.logs, 'second.log')];
    const pidFile = join(box.run, 'second.pid');
    const words = ['-p', pidFile, '-c', box.file('second', config), ...files];
    const [program, ...rest] = net.inside(net.client, join(root, 'bin', 'rsiod'), words);
    expect(spawnSync(program, rest, { env: box.env, encoding: 'utf8', timeout: 60_000 }).stderr).toBe('');
    pids.push(Number(readFileSync(pidFile, 'utf8')));
    const expected = /^new osl \(0\)\n {2}srv: 000 big-9 at 10\.99\.0\.1\/5000/m;
    // A question by UDP is asked once, and waited for as long as a person would: on a busy machine it may take another one.
    let found = '';
    for (let i = 0; i < 5 && !expected.test(found); i++) found = box.command('rsconfig', '-s', own, '-qvv').stdout;
    expect(found).toMatch(expected);
  });
});
