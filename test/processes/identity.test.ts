/** What scripts and the system see of a daemon. A graph without a mount suffices: it needs no privileges. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ManagementClient } from '@mortar/rpc';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { commandLine, ensureBuilt, isAlive, processesNamed, root, Sandbox, until } from '../support/sandbox.ts';

beforeAll(ensureBuilt, 120_000);

const memory = 'volume m\n type storage/memory\n option unused 1\nend-volume\n';
let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box.end());

function start(...more: string[]): number {
  const socket = join(box.run, '0123456789abcdef.socket');
  return box.daemon(
    'glusterfs',
    'g.pid',
    '-f',
    box.file('m.vol', memory),
    '-S',
    socket,
    '-l',
    join(box.logs, 'g.log'),
    ...more,
  );
}

describe('a daemon', () => {
  it('is known to the kernel by its own name', () => {
    const pid = start();
    expect(readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('glusterfs\n');
    expect(commandLine(pid)[0]).toBe('glusterfs');
  });

  it('is found by pidof and pgrep, where they are installed', () => {
    const pid = start();
    for (const [command, ...args] of [
      ['pidof', 'glusterfs'],
      ['pgrep', '^glusterfs$'],
    ]) {
      const { error, stdout } = spawnSync(command!, args, { encoding: 'utf8' });
      if (!error) expect(stdout.split(/\s+/)).toContain(`${pid}`);
    }
  });

  it('shows its arguments one by one, with one that ends in .socket', () => {
    const pid = start('--process-name', 'fuse');
    const words = commandLine(pid);
    expect(words.filter((word) => word.endsWith('.socket'))).toEqual([join(box.run, '0123456789abcdef.socket')]);
    expect(words.join(' ')).toContain('--process-name fuse');
  });

  it('keeps nothing of its starter: own session, root directory, no terminal, no pipe', () => {
    const pid = start();
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe('/');
    expect(readlinkSync(`/proc/${pid}/fd/0`)).toBe('/dev/null');
    const session = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[3];
    expect(session).toBe(`${pid}`);
    for (const fd of ['1', '2']) expect(readlinkSync(`/proc/${pid}/fd/${fd}`)).toBe(join(box.logs, 'g.log'));
  });

  it('closes descriptors that the starter had open', () => {
    const pidFile = join(box.run, 'g.pid');
    const volfile = box.file('m.vol', memory);
    const line = `exec 7>&1 99>&1; ${root}/bin/glusterfs -f ${volfile} -p ${pidFile} -l ${box.logs}/g.log`;
    // Returns only when the last writer of the pipe is gone.
    const { status } = spawnSync('bash', ['-c', line], { env: box.env, encoding: 'utf8', timeout: 30_000 });
    expect(status).toBe(0);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    process.kill(pid, 'SIGTERM');
  });

  it('is one process when the command has returned', () => {
    const pid = start();
    expect(processesNamed(join(box.run, 'g.pid'))).toEqual([pid]);
  });

  it('ends on SIGTERM and takes pid file and socket along', async () => {
    const pid = start();
    process.kill(pid, 'SIGTERM');
    expect(await until(() => !isAlive(pid))).toBe(true);
    expect(readdirSync(box.run)).toEqual([]);
  });

  it('refuses to start twice with the same pid file', () => {
    const pid = start();
    const { status, stderr } = box.command('glusterfs', '-f', join(box.path, 'm.vol'), '-p', join(box.run, 'g.pid'));
    expect(status).toBe(1);
    expect(stderr).toContain(`is held by the running glusterfs with pid ${pid}`);
    expect(isAlive(pid)).toBe(true);
  });

  it('starts again over the pid file of one that was killed', async () => {
    const first = start();
    process.kill(first, 'SIGKILL');
    await until(() => !isAlive(first));
    expect(start()).not.toBe(first);
  });

  it('goes on in a new log after SIGHUP', async () => {
    const pid = start();
    renameSync(join(box.logs, 'g.log'), join(box.logs, 'g.log.1'));
    process.kill(pid, 'SIGHUP');
    expect(
      await until(() => existsSync(join(box.logs, 'g.log')) && box.log('g.log').includes('No change in volfile')),
    ).toBe(true);
  });

  it('writes a state dump on SIGUSR1', async () => {
    const pid = start();
    process.kill(pid, 'SIGUSR1');
    const dumps = () => readdirSync(box.run).filter((name) => name.includes(`.${pid}.dump.`));
    expect(await until(() => dumps().length === 1)).toBe(true);
    const [name] = dumps();
    expect(name).toMatch(new RegExp(`^glusterdump\\.${pid}\\.dump\\.\\d+$`));
    const text = readFileSync(join(box.run, name!), 'utf8');
    expect(text).toMatch(/^DUMP-START-TIME: /);
    expect(text).toContain('\n[storage/memory.m]\n');
    expect(text).toMatch(/\nDUMP-END-TIME: .*\n$/);
  });

  it('leaves its pid file when a bug ends it, and takes it away when it is asked to end', async () => {
    const bug = "process.on('SIGWINCH',()=>{throw(new(Error)('a-bug'))})";
    box.env.NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(bug)}`;
    const pidFile = join(box.run, 'g.pid');
    for (const [signal, isLeft] of [
      ['SIGWINCH', true],
      ['SIGTERM', false],
    ] as const) {
      const pid = start();
      process.kill(pid, signal);
      expect(await until(() => !isAlive(pid))).toBe(true);
      expect(existsSync(pidFile), signal).toBe(isLeft);
    }
    expect(box.log('g.log')).toContain('uncaught exception: Error: a-bug');
  });

  it('answers over its control socket, and ends when asked there', async () => {
    const pid = start();
    const path = join(box.run, '0123456789abcdef.socket');
    const client = await ManagementClient.connect(
      unixTransport(),
      { kind: 'unix', path },
      { clock: nodeClock, program: 'test' },
    );
    expect(await client.call('process.info')).toMatchObject({ pid, name: 'glusterfs' });
    expect(await client.call('graph.info')).toMatchObject({ top: 'm', state: 'up', generations: 1 });
    expect(await client.call('metrics.text')).toMatchObject({
      text: expect.stringContaining('\nprocess_resident_memory_bytes '),
    });
    expect(await client.call('loglevel.set', { level: 'DEBUG' })).toEqual({ level: 'DEBUG' });
    await expect(client.call('loglevel.set', { level: 'LOUD' })).rejects.toMatchObject({ code: 'BAD_PARAMS' });
    await client.call('process.stop');
    expect(await until(() => !isAlive(pid))).toBe(true);
  });

  it('costs little memory while idle', () => {
    const pid = start();
    const kib = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
    expect(kib / 1024).toBeLessThan(90);
  });
});

describe('a start that fails', () => {
  it('says why, exits with 1 and leaves nothing running', () => {
    const { status, stderr } = box.command('glusterfs', '-f', '/no/such.vol', '-p', join(box.run, 'g.pid'));
    expect(status).toBe(1);
    expect(stderr).toMatch(/^volume file \/no\/such.vol cannot be read: [^\n]*\n$/);
    expect(processesNamed(join(box.run, 'g.pid'))).toEqual([]);
    expect(readdirSync(box.run)).toEqual([]);
  });

  it('names line and column of a bad volfile', () => {
    const path = box.file('bad.vol', 'volume m\n type storage/memroy\n option a b\nend-volume\n');
    const { status, stderr } = box.command('glusterfs', '-f', path);
    expect(status).toBe(1);
    expect(stderr).toBe(
      `${path}:2:7: volume m: unknown translator type 'storage/memroy'; did you mean 'storage/memory'?\n`,
    );
  });

  it('refuses a wrong command line with EX_USAGE', () => {
    const { status, stderr } = box.command('glusterfs', '--volfile-sever=h');
    expect(status).toBe(64);
    expect(stderr).toContain("unrecognized option '--volfile-sever'; did you mean '--volfile-server'?");
  });

  it('refuses a log file that cannot be made', () => {
    const { status, stderr } = box.command('glusterfs', '-f', box.file('m.vol', memory), '-l', '/dev/null/x.log');
    expect(status).toBe(1);
    expect(stderr).toContain('failed to create logfile "/dev/null/x.log"');
  });

  it('makes the directory of the log file', () => {
    const log = join(box.logs, 'new', 'dir', 'x.log');
    box.command('glusterfs', '-f', box.file('bad.vol', 'volume'), '-l', log);
    expect(existsSync(log)).toBe(true);
  });

  it('needs a volume id with a server', () => {
    const { status, stderr } = box.command('glusterfs', '-s', 'h', '/mnt');
    expect(status).toBe(1);
    expect(stderr).toContain('--volfile-id');
  });
});

describe('the commands of bin/', () => {
  let links: Sandbox;
  beforeAll(() => {
    links = new Sandbox();
  });
  afterAll(() => links.end());

  it('work through links from any directory', () => {
    const direct = join(links.path, 'glusterfs');
    const twice = join(links.path, 'again');
    symlinkSync(join(root, 'bin/glusterfs'), direct);
    symlinkSync('glusterfs', twice);
    for (const path of [direct, twice]) {
      const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', cwd: '/' });
      expect(stdout).toMatch(/^glusterfs \d+\.\d+/);
    }
  });

  it('work when called by a relative path', () => {
    const { stdout } = spawnSync('./glusterfs', ['--version'], { encoding: 'utf8', cwd: join(root, 'bin') });
    expect(stdout).toMatch(/^glusterfs /);
  });

  it('say how to build when nothing is built', () => {
    const bin = links.folder('checkout/bin');
    links.folder('checkout/scripts');
    for (const file of ['bin/glusterfs', 'scripts/launch.bash'])
      spawnSync('cp', ['-p', join(root, file), join(links.path, 'checkout', file)]);
    const { status, stderr } = spawnSync(join(bin, 'glusterfs'), [], { encoding: 'utf8' });
    expect(status).toBe(127);
    expect(stderr).toBe(`glusterfs: run 'npm run build' in ${join(links.path, 'checkout')} first\n`);
  });

  it('answer for directories without starting Node', () => {
    expect(links.command('gluster', '--print-logdir')).toMatchObject({ status: 0, stdout: `${links.logs}\n` });
    expect(links.command('glusterfs', '--print-logdir')).toMatchObject({ status: 0, stdout: `${links.logs}\n` });
  });
});
