/** rsconfig has real servers make, limit, pause, rename and remove devices. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/cluster.ts';
import { ensureBuilt, isAlive, type Outcome, Sandbox } from '../support/sandbox.ts';

let box: Sandbox;
const servers: number[] = [];
const socket = (client: string) => join(box.run, `${client}.socket`);
const as = (client: string, ...words: string[]) => box.command('rsconfig', '-s', socket(client), ...words);
const rsconfig = (...words: string[]) => as('big-2', ...words);
const said = ({ status, stdout, stderr }: Outcome) => `${status} ${stdout}${stderr}`;
const offered = (client = 'big-2') =>
  [...as(client, '-q').stdout.matchAll(/^ +\d+ {2}(\S+) +disk/gm)].map(([, name]) => name);
const ports: (string | undefined)[] = [];

/** Two servers, of which one lets clients make devices. */
function startServer(index: number): void {
  const pool = index === 0 ? `administrators = big-2\n[pool disks]\npath = ${box.folder('pool')}\n` : 'serverid = 2\n';
  const text =
    `[namespace osl]\n[server big-${8 + index}]\n${pool}[interface if0]\ndiscovery=unicast\naddress=127.0.0.${1 + index}\nport=${ports[index] ?? 0}\n` +
    `[clients]\nbig-2 0xbig2\nvenus 0xvenus\n[nbd]\nlisten=no\n[device fixed${index}]\ntype=memory\nsize=1m\n`;
  const file = box.file(`rssrvcfg${index}`, text);
  servers[index] = box.daemon('rssrv', `rssrv${index}.pid`, '-c', file, '-l', join(box.logs, `rssrv${index}.log`));
  const log = readFileSync(join(box.logs, `rssrv${index}.log`), 'utf8');
  ports[index] = [...log.matchAll(/clients are served on if0: [\d.]+:(\d+)/g)].at(-1)?.[1];
}

function startClient(name: string): void {
  const places = ports.map((port, i) => `[server s${i}]\naddress=127.0.0.${i + 1}\nport=${port}\n`).join('');
  const file = box.file(
    `rscltcfg-${name}`,
    `[namespace osl]\nnodename=${name}\nnodekey=0x${name.replace('-', '')}\n${places}`,
  );
  const words = ['-s', socket(name), '-e', join(box.run, `${name}.nbd`), '-l', join(box.logs, `${name}.log`)];
  box.daemon('rsiod', `${name}.pid`, '-c', file, ...words);
}

const connected = (client: string) =>
  eventually('paths are up', () => (as(client, '-m', 'status').stdout.match(/rx: ok/g) ?? []).length === 2);

beforeAll(async () => {
  ensureBuilt();
  box = new Sandbox();
  startServer(0);
  startServer(1);
  for (const client of ['big-2', 'venus']) startClient(client);
  for (const client of ['big-2', 'venus']) await connected(client);
}, 120_000);
afterAll(() => box.end());

describe('rsconfig', { timeout: 120_000 }, () => {
  it('makes a volume where that is allowed, and says where it is not', async () => {
    expect(said(rsconfig('--create', '8m', 'db'))).toBe(
      '1 rsconfig: --at SERVER has to say where it is to be made: big-8 of osl, big-9 of osl\n',
    );
    expect(said(rsconfig('--create', '8m', 'db', '--at', 'big-9'))).toMatch(
      /^1 osl:db@big-9: 'big-2' is no administrator of server big-9: 'administrators' in its \[server\] section/,
    );
    expect(said(as('venus', '--create', '8m', 'db', '--at', 'big-8'))).toMatch(/^1 .*'venus' is no administrator/);
    expect(said(rsconfig('--create', '8m', 'db', '--at', 'big-8', '--clients', 'venus'))).toBe('0 osl:db@big-8\n');
    expect(said(rsconfig('--create', '8m', 'db', '--at', '0'))).toBe(
      "1 osl:db@big-8: there is a device 'db' already\n",
    );
    expect(offered()).toEqual(['fixed0', 'db', 'fixed1']);
    expect(said(rsconfig('--pools', '--at', 'big-8'))).toBe(
      '0 osl:@big-8 pool disks            file   1 device(s), 8388608 bytes\n',
    );
  });

  it('shows the ways to servers, and what the configuration does not know', () => {
    const plain = rsconfig('-q').stdout;
    const ways = rsconfig('-qvv').stdout;
    expect(plain).not.toContain('way');
    expect(ways).toMatch(
      /srv: 000 big-8\n(?: {9}.*\n|.*disk.*\n)* {6}way any > 127\.0\.0\.1\/\d+: \d+\.\d\d ms, packets of \d+ bytes\n/,
    );
    expect(rsconfig('-qvvv').stdout).toMatch(/way any > 127\.0\.0\.2\/\d+: .*, tx \d+ MB\/s, rx \d+ MB\/s\n/);
    const told = JSON.parse(rsconfig('-qvv', '--json', '--seed', '127.0.0.1:1').stdout);
    expect(told.namespaces[0].servers.map(({ name }: { name: string }) => name)).toEqual(['big-8', 'big-9']);
    expect(told.explored.servers.map(({ server }: { server: string }) => server)).toEqual(['big-8', 'big-9']);
    expect(told.explored.problems).toEqual([expect.stringMatching(/^127\.0\.0\.1\/1: .*ECONNREFUSED/)]);
    expect(said(rsconfig('-l', '--json'))).toMatch(/^64 rsconfig: --json goes with -q/);
    expect(said(rsconfig('-q', '--seed', '/tmp/x'))).toMatch(
      /^64 rsconfig: --seed=\/tmp\/x: HOST\[:PORT\],.. is expected/,
    );
  });

  it('refuses what makes no sense before anybody is asked', () => {
    expect(said(rsconfig('--create', 'big', 'db'))).toMatch(/^64 rsconfig: 'big': a size such as .* is expected/);
    expect(said(rsconfig('--create', '8m'))).toMatch(/^64 rsconfig: a volume is expected/);
    expect(said(rsconfig('--limit', 'speed=1', 'db'))).toMatch(/^64 rsconfig: 'speed=1': KEY=VALUE is expected/);
    expect(said(rsconfig('--pause', '--keep', 'db'))).toMatch(/^64 rsconfig: --keep does not go with --pause/);
    expect(said(rsconfig('-q', '--at', 'big-8'))).toMatch(/^64 rsconfig: --at goes with --create/);
    expect(said(rsconfig('--delete', 'nothing'))).toBe("1 rsconfig: no server offers 'nothing'\n");
    expect(said(rsconfig('--delete', 'else:db'))).toMatch(/^1 rsconfig: no server of namespace else is known/);
    expect(said(rsconfig('--delete', 'fixed0'))).toMatch(
      /^1 osl:fixed0@big-8: it is in the configuration of server big-8/,
    );
  });

  it('does nothing to a volume that a client has attached, but limit and pause it', async () => {
    expect(said(as('venus', '-a', 'db'))).toBe('0 osl:db\n');
    expect(said(rsconfig('--delete', 'db'))).toMatch(/^1 osl:db@big-8: 'db' is open \(1 users\)/);
    expect(said(rsconfig('--rename', 'data', 'db'))).toMatch(/^1 osl:db@big-8: 'db' is open/);
    expect(said(rsconfig('--limit', 'bytes-per-second=1m,client-operations-per-second=100', 'db'))).toBe(
      '0 osl:db@big-8\n',
    );
    expect(said(rsconfig('--pause', 'db'))).toBe('0 osl:db@big-8\n');
    expect(rsconfig('-qv').stdout).toMatch(/db .*\n +read, write, 8388608 bytes, paused\n/);
    expect(said(rsconfig('--resume', 'osl:db'))).toBe('0 osl:db@big-8\n');
    expect(said(as('venus', '-d', 'db'))).toBe('0 osl:db\n');
  });

  it('has it there after a kill of the server; then renames and removes it', async () => {
    process.kill(servers[0]!, 'SIGKILL');
    await eventually('the server is gone', () => !isAlive(servers[0]!));
    startServer(0);
    await connected('big-2');
    await eventually('it is offered', () => offered().includes('db'));
    expect(said(rsconfig('--rename', 'data', 'db'))).toBe('0 osl:db@big-8\n');
    expect(offered()).toEqual(['fixed0', 'data', 'fixed1']);
    expect(said(rsconfig('--delete', 'data'))).toBe('0 osl:data@big-8\n');
    expect(offered()).toEqual(['fixed0', 'fixed1']);
  });

  it('lets a server end in good order while requests wait in a paused volume', async () => {
    expect(said(rsconfig('--create', '1m', 'held', '--at', 'big-8'))).toBe('0 osl:held@big-8\n');
    expect(said(rsconfig('-a', 'held'))).toBe('0 osl:held\n');
    expect(said(rsconfig('--pause', 'held'))).toBe('0 osl:held@big-8\n');
    // The client gives the device up, and that waits for a flush.
    const resized = box.commandAsync('rsconfig', '-s', socket('big-2'), '-r', '2m', 'held');
    await new Promise((resolve) => setTimeout(resolve, 300));
    process.kill(servers[0]!, 'SIGTERM');
    await eventually('the server has ended', () => !isAlive(servers[0]!));
    startServer(0);
    await connected('big-2');
    expect(said(rsconfig('--resume', '--at', 'big-8', 'held'))).toBe('0 osl:held@big-8\n');
    expect(said(await resized)).toBe('0 osl:held\n');
    expect(said(rsconfig('-d', 'held'))).toBe('0 osl:held\n');
  });
});
