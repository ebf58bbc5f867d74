/** crsio in a terminal, with a real server to be found; rsiod then uses what it has made. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { certificate } from '../support/certificates.ts';
import { eventually, hasProgram } from '../support/cluster.ts';
import { ensureBuilt, isAlive, root, Sandbox } from '../support/sandbox.ts';

const hasScript = hasProgram('script');
if (!hasScript) console.log('crsio: script(1) is not installed: its tests are skipped');

const [width, height] = [100, 24];
const esc = '\x1b';
const controls = new RegExp(`^${esc}(\\[[0-9;?=>]*[A-Za-z]|[()][A-Z0-9]|[=>78])`);
const keys = {
  enter: '\r',
  tab: '\t',
  up: '\x1b[A',
  down: '\x1b[B',
  end: '\x1b[F',
  f3: '\x1bOR',
  f7: '\x1b[18~',
  f10: '\x1b[21~',
  clear: '\x15',
};

/** A program in a terminal of its own, and what its screen shows. */
class Terminal {
  readonly #child: ChildProcess;
  readonly #grid = Array.from({ length: height }, () => ' '.repeat(width));
  #rest = '';
  #line = 0;
  #column = 0;
  status: number | null = null;

  constructor(program: string, words: readonly string[], env: NodeJS.ProcessEnv) {
    const command = `stty rows ${height} cols ${width}; exec ${[program, ...words].join(' ')}`;
    this.#child = spawn('script', ['-qefc', command, '/dev/null'], {
      env: { ...env, TERM: 'xterm', SHELL: '/bin/bash' },
    });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => this.#put(text));
    this.#child.on('exit', (status) => {
      this.status = status;
    });
  }

  get screen(): string {
    return this.#grid.map((line) => line.trimEnd()).join('\n');
  }

  type(...texts: string[]): void {
    for (const text of texts) this.#child.stdin!.write(text);
  }

  shows(what: string | RegExp): Promise<void> {
    const isThere = () => (typeof what === 'string' ? this.screen.includes(what) : what.test(this.screen));
    return eventually(`the screen shows ${what}, not\n${this.screen}\n`, isThere);
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }

  /** Knows as much of a terminal as crsio uses: text, and where it goes. */
  #put(text: string): void {
    let left = this.#rest + text;
    while (left !== '') {
      const sequence = controls.exec(left);
      if (!sequence && left.startsWith(esc) && left.length < 16) break;
      if (sequence) {
        const place = /\[(\d+);(\d+)H$/.exec(sequence[0]);
        if (place) [this.#line, this.#column] = [Number(place[1]) - 1, Number(place[2]) - 1];
        left = left.slice(sequence[0].length);
        continue;
      }
      const line = this.#grid[this.#line] ?? '';
      if (left[0]! >= ' ') {
        this.#grid[this.#line] = line.slice(0, this.#column) + left[0] + line.slice(this.#column + 1);
        this.#column++;
      }
      left = left.slice(1);
    }
    this.#rest = left;
  }
}

let box: Sandbox;
let port = '';
let terminal: Terminal | null = null;

beforeAll(() => {
  ensureBuilt();
  box = new Sandbox();
  const config =
    '[namespace osl]\nnamespaceid=200\n[server big-9]\nserverid=1\n[interface if0]\naddress=127.0.0.1\nport=0\ndiscovery=unicast\n' +
    '[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n[device memory]\ntype=memory\nsize=16m\n';
  box.daemon('rssrv', 'rssrv.pid', '-c', box.file('rssrvcfg', config));
  port = /clients are served on if0: [\d.]+:(\d+)/.exec(box.log('rssrv.log'))![1]!;
}, 120_000);
afterEach(() => terminal?.end());
afterAll(() => box.end());

const start = (file: string) => {
  terminal = new Terminal(join(root, 'bin/crsio'), ['-c', file], box.env);
  return terminal;
};

describe.skipIf(!hasScript)('crsio', { timeout: 120_000 }, () => {
  it('finds a namespace and its servers, and saves what rsiod then uses', async () => {
    const file = join(box.path, 'rscltcfg');
    const crsio = start(file);
    await crsio.shows('Add NEW Namespace');
    crsio.type(keys.enter);
    await crsio.shows('Name    : if0');
    crsio.type(keys.tab, '127.0.0.1', keys.enter);
    await crsio.shows('if0              127.0.0.1');
    crsio.type(keys.f7);
    await crsio.shows('Find NEW Namespace');
    crsio.type(keys.enter);
    await crsio.shows('Look at HOST[:PORT],.. :');
    crsio.type(`127.0.0.1:${port}`, keys.enter);
    await crsio.shows('osl              id 200, servers: big-9');
    crsio.type(keys.enter);
    await crsio.shows('Name of this client :');
    crsio.type(keys.tab, keys.tab, keys.clear, 'big-2', keys.tab, '0xbig2', keys.tab, keys.enter);
    await crsio.shows('osl              id 200, this client: big-2');
    crsio.type(keys.f7);
    await crsio.shows('Find NEW Namespace Servers');
    crsio.type(keys.enter);
    await crsio.shows('Look at HOST[:PORT],.. : 127.0.0.1');
    crsio.type(keys.enter);
    await crsio.shows(`big-9            127.0.0.1/${port}`);
    crsio.type(keys.enter);
    await crsio.shows(`big-9-1          127.0.0.1/${port}`);
    expect(existsSync(file)).toBe(false);
    crsio.type(keys.f3);
    await crsio.shows('saved; rsiod uses it when it is started anew');
    expect(readFileSync(file, 'utf8')).toBe(
      `[interface if0]\naddress       = 127.0.0.1\n\n[namespace osl]\nnamespaceid   = 200\nnodename      = big-2\nnodekey       = 0xbig2\n\n` +
        `[server big-9-1]\naddress       = 127.0.0.1\nport          = ${port}\n`,
    );
    crsio.type(keys.f10);
    await eventually('it has ended', () => crsio.status !== null);
    expect(crsio.status).toBe(0);
    const words = ['-c', file, '-s', join(box.run, 'rsiod.socket'), '-e', join(box.run, 'rsiod.nbd')];
    const daemon = box.daemon('rsiod', 'rsiod.pid', ...words);
    expect(isAlive(daemon)).toBe(true);
    expect(box.command('rsconfig', '-s', join(box.run, 'rsiod.socket'), '-q').stdout).toMatch(
      /srv: 001 big-9\n +0 {2}memory/,
    );
  });

  it('finds servers that require TLS, as who it is by the file, and says what is missing', async () => {
    const at = (name: string) => join(box.path, name);
    certificate(at, 'ca', 'ca', '');
    certificate(at, 'big-7', 'ca', 'serverAuth');
    certificate(at, 'big-2', 'ca', 'clientAuth');
    const tls = (name: string) =>
      `tls=required\ntls-certificate=${at(`${name}.pem`)}\ntls-key=${at(`${name}.key`)}\ntls-authority=${at('ca.pem')}\n`;
    const config =
      `[namespace two]\nnamespaceid=201\n[server big-7]\nserverid=1\n${tls('big-7')}[interface if0]\naddress=127.0.0.1\nport=0\n` +
      '[clients]\nbig-2 -\n[nbd]\nlisten=no\n[device memory]\ntype=memory\nsize=16m\n';
    box.daemon('rssrv', 'tls.pid', '-c', box.file('rssrvcfg-tls', config), '-l', join(box.logs, 'tls.log'));
    const own = /clients are served on if0: [\d.]+:(\d+)/.exec(box.log('tls.log'))![1]!;
    const search = async (file: string) => {
      const crsio = start(file);
      await crsio.shows('if0              127.0.0.1');
      crsio.type(keys.f7);
      await crsio.shows('Find NEW Namespace');
      crsio.type(keys.enter);
      await crsio.shows('Look at HOST[:PORT],.. :');
      crsio.type(keys.clear, `127.0.0.1:${own}`, keys.enter);
      return crsio;
    };
    const here = '[interface if0]\naddress=127.0.0.1\n';
    const open = await search(box.file('open', here));
    await open.shows(`no namespace was found: 127.0.0.1/${own}: it closed the connection; if it requires TLS`);
    open.end();
    const secret = await search(box.file('secret', `[defaults]\n${tls('big-2')}${here}`));
    await secret.shows('two              id 201, servers: big-7');
  });

  it('keeps comments, and refuses to save what is wrong', async () => {
    const text = '# by hand\n[namespace osl]\nnodename = big-2   \n# the only one\n[server a]\naddress = 10.0.0.1\n';
    const file = box.file('commented', text);
    const crsio = start(file);
    await crsio.shows('    a                10.0.0.1');
    crsio.type(keys.down, keys.down, keys.enter);
    await crsio.shows('Server a of osl');
    crsio.type(keys.tab, keys.clear, '10.0.0.2', keys.f3);
    await crsio.shows('saved;');
    expect(readFileSync(file, 'utf8')).toBe(text.replace('10.0.0.1', '10.0.0.2'));
    writeFileSync(file, `${text}[server a]\naddress = b\n`);
    crsio.type(keys.f3);
    await crsio.shows('not saved: the file was changed by somebody else');
    expect(box.command('crsio', '-c', file).stderr).toBe(
      'crsio: a terminal is needed; without one the file can be edited with any editor\n',
    );
    expect(box.command('crsio', '-x').status).toBe(64);
  });
});
