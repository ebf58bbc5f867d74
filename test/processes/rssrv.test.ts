/** rssrv as people and scripts meet it: command line, configuration, signals, log. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { infoData, RawClient } from '@mortar/block/nbd/client-rig.ts';
import { Command, Option } from '@mortar/block/nbd/constants.ts';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ensureBuilt, isAlive, root, Sandbox, until } from '../support/sandbox.ts';

beforeAll(ensureBuilt, 120_000);

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box.end());

const socket = () => join(box.run, 'nbd.sock');
const log = () => join(box.logs, 'rssrv.log');

function config(...devices: string[]): string {
  const head = `[namespace osl]\nnamespaceid = 200\n[server big-9]\nserverid = 1\n[nbd]\nport = 0\nsocket = ${socket()}\n`;
  return box.file('rssrvcfg', `${head}${devices.join('\n')}\n`);
}

const memory = (name: string, more = '') => `[device ${name}]\ntype = memory\nsize = 1m\n${more}`;
const disk = (more = '') => `[device disk]\npath = ${join(box.path, 'disk')}\nsize = 4m\ncreate = yes\n${more}`;

async function client(): Promise<RawClient> {
  const duplex = connect(socket());
  await new Promise((resolve, reject) => duplex.once('connect', resolve).once('error', reject));
  return new RawClient(duplex);
}

async function names(): Promise<string[]> {
  const one = await client();
  await one.greet();
  const replies = await one.option(Option.LIST);
  one.end();
  return replies.slice(0, -1).map(({ data }) => data.subarray(4).toString());
}

describe('rssrv', () => {
  it('serves devices by their name and with the namespace before it', async () => {
    const pid = box.daemon('rssrv', 'rssrv.pid', '-c', config(memory('tvol1'), disk()));
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('rssrv\n');
    expect(await names()).toEqual(['tvol1', 'disk']);
    const one = await client();
    await one.go('osl/tvol1');
    expect((await one.request({ type: Command.WRITE, offset: 5, payload: Buffer.from('data') })).error).toBe(0);
    const two = await client();
    await two.go('tvol1');
    expect((await two.request({ type: Command.READ, offset: 5, length: 4 })).data.toString()).toBe('data');
    one.end();
    two.end();
  });

  it('keeps what was flushed in a file over a kill, and lets nobody else write it', async () => {
    const file = config(disk());
    const pid = box.daemon('rssrv', 'rssrv.pid', '-c', file);
    const second = box.command('rssrv', '-c', file, '-p', join(box.run, 'other.pid'), '-l', join(box.logs, 'o.log'));
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/device disk: .*disk: it is in use: another server or program has locked it/);
    const one = await client();
    await one.go('disk');
    await one.request({ type: Command.WRITE, offset: 1000, payload: Buffer.from('kept') });
    await one.request({ type: Command.FLUSH });
    process.kill(pid, 'SIGKILL');
    await one.closed();
    expect(await until(() => !isAlive(pid))).toBe(true);
    box.daemon('rssrv', 'rssrv.pid', '-c', file);
    const two = await client();
    await two.go('disk');
    expect((await two.request({ type: Command.READ, offset: 1000, length: 4 })).data.toString()).toBe('kept');
    two.end();
  });

  it('reads its configuration again on SIGHUP: devices come, go and change, others keep their clients', async () => {
    const file = config(memory('stays'), memory('goes'), memory('grows'));
    const pid = box.daemon('rssrv', 'rssrv.pid', '-c', file);
    const [staying, going] = [await client(), await client()];
    await staying.go('stays');
    await going.go('goes');
    writeFileSync(
      file,
      readFileSync(file, 'utf8')
        .replace('[device goes]', '[device comes]')
        .replace(/(grows\]\n.*\n).*/, '$1size = 2m'),
    );
    renameSync(log(), `${log()}.1`);
    process.kill(pid, 'SIGHUP');
    await going.closed();
    expect(await until(() => existsSync(log()) && readFileSync(log(), 'utf8').includes('was read again'))).toBe(true);
    expect((await staying.request({ type: Command.READ, offset: 0, length: 4 })).error).toBe(0);
    expect((await names()).toSorted()).toEqual(['comes', 'grows', 'stays']);
    const grown = await client();
    await grown.greet();
    const [info] = await grown.option(Option.INFO, infoData('grows'));
    expect(Number(info!.data.readBigUInt64BE(2))).toBe(2 * 1024 * 1024);
    // One that is wrong changes nothing.
    writeFileSync(file, 'nonsense');
    process.kill(pid, 'SIGHUP');
    expect(await until(() => readFileSync(log(), 'utf8').includes('the configuration stays as it was'))).toBe(true);
    expect((await names()).length).toBe(3);
    for (const one of [staying, grown]) one.end();
  });

  it('answers what is under way on SIGTERM, and leaves nothing behind', async () => {
    const pid = box.daemon('rssrv', 'rssrv.pid', '-c', config(memory('d')));
    const one = await client();
    await one.go('d');
    process.kill(pid, 'SIGTERM');
    await one.closed();
    expect(await until(() => !isAlive(pid))).toBe(true);
    expect(readdirSync(box.run).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  it('writes a state dump on SIGUSR1', async () => {
    const pid = box.daemon('rssrv', 'rssrv.pid', '-c', config(memory('d')));
    const one = await client();
    await one.go('d');
    process.kill(pid, 'SIGUSR1');
    const dump = () => readdirSync(box.run).find((name) => name.includes('.dump.'));
    expect(await until(() => dump() !== undefined)).toBe(true);
    const text = readFileSync(join(box.run, dump()!), 'utf8');
    expect(text).toMatch(/\[block\.device\.d\]\ntype=memory\nsize_bytes=1048576\nread_only=0\npaused=0\nusers=1/);
    expect(text).toMatch(/\[block\.nbd\.connection\.0\][^[]*export=d\n/);
    one.end();
  });

  it('says what is wrong with its configuration, and does not start', () => {
    const file = config(memory('d', 'sise = 3\n'), '[device e]\ntype = tape\n');
    for (const words of [['--check'], ['-N'], []]) {
      const { status, stderr } = box.command('rssrv', '-c', file, '-p', join(box.run, 'x.pid'), ...words);
      expect(status).toBe(1);
      expect(stderr).toContain(`${file}:11: 'sise' is not known in [device d]; did you mean 'size'?`);
      expect(stderr).toContain(`${file}:14: type = tape: one of memory, file, volume, concat, stripe is expected`);
    }
    expect(box.command('rssrv', '-c', '/none').stderr).toMatch(/ENOENT.*\/none/);
    expect(box.command('rssrv', '--chek')).toMatchObject({ status: 64 });
    expect(box.command('rssrv', '--help').stdout).toMatch(/^Usage: rssrv/);
  });
});

describe('rsslogcat', () => {
  it('shows the log, and with -f what is written from then on, through a rotation', async () => {
    const pid = box.daemon('rssrv', 'rssrv.pid', '-c', config(memory('d')));
    expect(box.command('rsslogcat').stdout).toMatch(/device d: memory, 1048576 bytes/);
    const follower = spawn(join(root, 'bin/rsslogcat'), ['-f'], { env: box.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    follower.stdout.on('data', (chunk) => {
      text += chunk;
    });
    try {
      expect(await until(() => text.includes('NBD clients are served'))).toBe(true);
      renameSync(log(), `${log()}.1`);
      process.kill(pid, 'SIGHUP');
      expect(await until(() => text.includes('was read again: 1 devices'))).toBe(true);
    } finally {
      follower.kill();
    }
    expect(box.command('rsslogcat', '-l', '/none').status).toBe(1);
  });
});
