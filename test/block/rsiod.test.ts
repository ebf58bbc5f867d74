/** rsiod and rsconfig with a real server: what is offered, attached, used over NBD, and outlives its server. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, hasProgram } from '../support/cluster.ts';
import { ensureBuilt, isAlive, type Outcome, Sandbox } from '../support/sandbox.ts';

const hasQemu = hasProgram('qemu-io');
if (!hasQemu) console.log('rsiod: qemu-io is not installed: its tests are skipped');

let box: Sandbox;
let server = 0;
let daemon = 0;
let serverConfig = '';
let daemonWords: string[] = [];
const endpoint = () => join(box.run, 'rsiod.nbd');
const uri = (name: string) => `nbd+unix:///osl/${name}?socket=${endpoint()}`;
const rsconfig = (...words: string[]) => box.command('rsconfig', '-s', join(box.run, 'rsiod.socket'), ...words);
const said = ({ status, stdout, stderr }: Outcome) => `${status} ${stdout}${stderr}`;

interface Ran {
  status: number;
  text: string;
}

function io(name: string, ...commands: string[]): Promise<Ran> {
  const words = ['-f', 'raw', '-d', 'unmap', uri(name), ...commands.flatMap((one) => ['-c', one])];
  return new Promise((resolve) => {
    execFile('qemu-io', words, { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ status: error ? 1 : 0, text: stdout + stderr }),
    );
  });
}

async function good(name: string, ...commands: string[]): Promise<void> {
  const { status, text } = await io(name, ...commands);
  expect(status === 0 && !/failed|error/i.test(text), text).toBe(true);
}

const log = (name: string) => readFileSync(join(box.logs, name), 'utf8');
const config = (ports: readonly string[]) =>
  `[namespace osl]\nnamespaceid=200\n[server big-9]\nserverid=1\n` +
  ports.map((port, i) => `[interface if${i}]\naddress=127.0.0.${i + 1}\nport=${port}\n`).join('') +
  `[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n[device memory]\ntype=memory\nsize=16m\n` +
  `[device file]\npath=${join(box.path, 'file')}\nsize=64m\ncreate=yes\nresize=yes\n[device other]\ntype=memory\nsize=1m\nclients=venus\n`;

beforeAll(() => {
  ensureBuilt();
  box = new Sandbox();
  serverConfig = box.file('rssrvcfg', config(['0', '0']));
  server = box.daemon('rssrv', 'rssrv.pid', '-c', serverConfig);
  const ports = [...log('rssrv.log').matchAll(/RSIO clients are served on if\d: [\d.]+:(\d+)/g)].map(
    ([, port]) => port!,
  );
  expect(ports).toHaveLength(2);
  // The next run of the server has the same ports.
  serverConfig = box.file('rssrvcfg', config(ports));
  const places = ports.map((port, i) => `[server big-9-${i}]\naddress=127.0.0.${i + 1}\nport=${port}\n`).join('');
  const client = box.file(
    'rscltcfg',
    `[defaults]\nattach=none\n[namespace osl]\nnodename=big-2\nnodekey=0xbig2\nchecksum=yes\n${places}`,
  );
  daemonWords = ['-c', client, '-s', join(box.run, 'rsiod.socket'), '-e', endpoint()];
  daemon = box.daemon('rsiod', 'rsiod.pid', ...daemonWords);
}, 120_000);
afterAll(() => box.end());

describe('rsiod', { timeout: 120_000 }, () => {
  it('says what there is, and how it gets there', async () => {
    await eventually(
      'paths are up',
      () => (rsconfig('-m', 'status').stdout.match(/tx: ok rx: ok/g) ?? []).length === 2,
    );
    expect(rsconfig('-q').stdout).toBe(
      '000 osl\n  clt: big-2\n  srv: 001 big-9\n' +
        '      0  memory               disk        32768 blocks of  512 bytes\n' +
        '      0  file                 disk       131072 blocks of  512 bytes\n',
    );
    expect(rsconfig('-m', 'status').stdout).toMatch(
      /^0 osl:big-9\n {4}rep: 001 any IP\(TCP\) 127\.0\.0\.\d\/\d+ connected tx: ok rx: ok, 0 bytes under way, [\d.]+ ms\n1 osl:big-9\n/,
    );
  });

  it('attaches, refuses by name, and detaches', async () => {
    expect(said(rsconfig('-a', 'nothing'))).toMatch(/^1 rsconfig: no server offers 'nothing'/);
    expect(said(rsconfig('-a', 'other'))).toMatch(/^1 rsconfig: no server offers 'other'/);
    expect(said(rsconfig('-a'))).toBe('0 osl:file\nosl:memory\n');
    expect(said(rsconfig('-a', 'file'))).toBe('1 osl:file: it is attached already\n');
    expect(rsconfig('-lv').stdout).toContain(`n: ${uri('memory')}`);
    expect(said(rsconfig('-d', 'osl:memory'))).toBe('0 osl:memory\n');
    expect(rsconfig('-l').stdout).toBe('osl:file@0\n');
    expect(said(rsconfig('-x'))).toMatch(/^64 /);
    expect(said(rsconfig('-r', '128m', 'file'))).toBe('0 osl:file\n');
    expect(rsconfig('-lv').stdout).toMatch(/file.* 262144 blocks/);
  });

  it.skipIf(!hasQemu)('is a disk that does not notice that its server is killed and comes back', async () => {
    await good(
      'file',
      'write -P 7 0 3m',
      'write -f -P 9 5m 4k',
      'discard 1m 1m',
      'flush',
      'read -P 7 0 1m',
      'read -P 9 5m 4k',
    );
    let isOver = false;
    const rounds = (async () => {
      let round = 0;
      for (; !isOver; round++) {
        const pattern = 1 + (round % 250);
        await good(
          'file',
          `write -P ${pattern} 8m 2m`,
          `write -P ${pattern} 64k 64k`,
          'flush',
          `read -P ${pattern} 8m 2m`,
        );
      }
      return round;
    })();
    await new Promise((resolve) => setTimeout(resolve, 500));
    process.kill(server, 'SIGKILL');
    await eventually('the server is gone', () => !isAlive(server));
    await new Promise((resolve) => setTimeout(resolve, 500));
    server = box.daemon('rssrv', 'rssrv.pid', '-c', serverConfig);
    await eventually(
      'paths are up',
      () => (rsconfig('-m', 'status').stdout.match(/tx: ok rx: ok/g) ?? []).length === 2,
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    isOver = true;
    expect(await rounds).toBeGreaterThan(1);
    await good('file', 'read -P 9 5m 4k');
    // A daemon that is killed and started again has attached it again.
    process.kill(daemon, 'SIGKILL');
    await eventually('the daemon is gone', () => !isAlive(daemon));
    daemon = box.daemon('rsiod', 'rsiod.pid', ...daemonWords);
    expect(rsconfig('-l').stdout).toBe('osl:file@0\n');
    await good('file', 'read -P 9 5m 4k', 'write -P 5 6m 4k', 'flush', 'read -P 5 6m 4k');
    expect(said(rsconfig('-d'))).toBe('0 osl:file\n');
    expect(isAlive(daemon)).toBe(true);
  });
});
