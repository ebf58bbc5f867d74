/** `gluster` at a terminal. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureBuilt, root, until } from '../support/sandbox.ts';

const hasScript = spawnSync('script', ['--version']).status === 0;

describe.skipIf(!hasScript)('the prompt at a terminal', () => {
  const home = mkdtempSync(join(tmpdir(), 'mortar-prompt-'));
  let child: ChildProcess;
  let seen = '';

  beforeAll(ensureBuilt, 120_000);
  afterAll(() => {
    child?.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  });

  function open(): void {
    seen = '';
    const command = `${join(root, 'bin/gluster')} --glusterd-sock=${home}/nobody --log-file=${home}/log`;
    child = spawn('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, HOME: home, TERM: 'xterm' },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    child.stdout!.setEncoding('utf8').on('data', (text) => {
      seen += text;
    });
  }

  async function shows(text: string): Promise<void> {
    if (!(await until(() => seen.includes(text))))
      throw new Error(`'${text}' was not shown, but ${JSON.stringify(seen)}`);
    seen = seen.slice(seen.indexOf(text) + text.length);
  }

  const type = (text: string) => child.stdin!.write(text);
  const ended = () => new Promise((resolve) => child.once('exit', resolve));

  it('ends words, keeps history, asks, and leaves at the end of the input', async () => {
    open();
    await shows('gluster> ');
    type('peer st');
    type('\t');
    await shows('atus ');
    type('\r');
    await shows('Connection failed');
    await shows('gluster> ');
    type('volume stop v\r');
    await shows('(y/n) ');
    type('n\r');
    await shows('gluster> ');
    type('\x1b[A');
    await shows('volume stop v');
    type('\x1b[A');
    await shows('peer status');
    type('\x03');
    type('system:: loc');
    type('\t');
    await shows('k ');
    type('\x03');
    type('\x04');
    await ended();
    expect(readFileSync(join(home, '.gluster_history'), 'utf8')).toBe('peer status \nvolume stop v\n');
  }, 60_000);

  it('has the history of last time', async () => {
    open();
    await shows('gluster> ');
    type('\x1b[A');
    await shows('volume stop v');
    type('\x03');
    type('quit\r');
    await ended();
  }, 60_000);
});
