/** rsiod and rssrv over TLS, and who is refused. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { certificate } from '../support/certificates.ts';
import { eventually } from '../support/cluster.ts';
import { ensureBuilt, type Outcome, Sandbox } from '../support/sandbox.ts';

let box: Sandbox;
let port = '';
const at = (name: string) => join(box.path, name);
const socket = (client: string) => join(box.run, `${client}.socket`);
const rsconfig = (client: string, ...words: string[]) => box.command('rsconfig', '-s', socket(client), ...words);
const said = ({ status, stdout, stderr }: Outcome) => `${status} ${stdout}${stderr}`;

const tls = (name: string) =>
  `tls=required\ntls-certificate=${at(`${name}.pem`)}\ntls-key=${at(`${name}.key`)}\ntls-authority=${at('ca.pem')}\n`;

function startClient(name: string, more: string): void {
  const text = `[namespace osl]\nnodename=${name}\n${more}[server s]\naddress=127.0.0.1\nport=${port}\n`;
  const words = ['-s', socket(name), '-e', join(box.run, `${name}.nbd`), '-l', join(box.logs, `${name}.log`)];
  box.daemon('rsiod', `${name}.pid`, '-c', box.file(`rscltcfg-${name}`, text), ...words);
}

beforeAll(() => {
  ensureBuilt();
  box = new Sandbox();
  certificate(at, 'ca', 'ca', '');
  certificate(at, 'big-9', 'ca', 'serverAuth');
  for (const name of ['big-2', 'venus']) certificate(at, name, 'ca', 'clientAuth');
  const config =
    `[namespace osl]\n[server big-9]\nserverid=1\nadministrators=big-2\n${tls('big-9')}[interface if0]\naddress=127.0.0.1\nport=0\n` +
    `[clients]\nbig-2 -\nvenus 0xvenus\n[nbd]\nlisten=no\n[pool disks]\npath=${box.folder('pool')}\n[device memory]\ntype=memory\nsize=16m\n`;
  box.daemon('rssrv', 'rssrv.pid', '-c', box.file('rssrvcfg', config));
  port = /clients are served on if0: [\d.]+:(\d+)/.exec(box.log('rssrv.log'))![1]!;
}, 120_000);
afterAll(() => box.end());

describe('a namespace whose servers require TLS', { timeout: 120_000 }, () => {
  it('is used, explored and administered by who has a certificate', async () => {
    startClient('big-2', tls('big-2'));
    await eventually('it is connected', () => rsconfig('big-2', '-m', 'status').stdout.includes('rx: ok'));
    expect(rsconfig('big-2', '-qvvv').stdout).toMatch(
      /way any > 127\.0\.0\.1\/\d+: .* ms, .*, tx \d+ MB\/s, rx \d+ MB\/s\n/,
    );
    expect(said(rsconfig('big-2', '--create', '1m', 'db'))).toBe('0 osl:db@big-9\n');
    expect(said(rsconfig('big-2', '-a', 'db'))).toBe('0 osl:db\n');
  });

  it('is closed to who speaks in the clear, has no key, or shows the certificate of a server', async () => {
    startClient('venus', 'nodekey=0xvenus\n');
    expect(rsconfig('venus', '-q').stdout).toBe('000 osl\n  clt: venus\n');
    await eventually('the server says why', () =>
      box.log('rssrv.log').includes('it does not speak TLS, which is required here'),
    );
    startClient('mars', `nodekey=0xmars\n${tls('venus')}`);
    await eventually('the server says why', () =>
      box.log('rssrv.log').includes("it says to be 'mars', but its certificate is of 'venus'"),
    );
    startClient('big-9', `nodekey=x\n${tls('big-9')}`);
    await eventually('the server says why', () =>
      /certificate was refused: unsuitable certificate purpose/.test(box.log('rssrv.log')),
    );
  });
});
