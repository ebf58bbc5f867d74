/** Attached volumes as block devices of this machine: a FUSE file and a loop device over it, with real daemons. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  attachLack,
  fioVerify,
  loopsBelow,
  mountsBelow,
  must,
  nothingBelow,
  runProgram,
} from '../support/attach-rig.ts';
import { eventually, hasProgram } from '../support/cluster.ts';
import { ensureBuilt, isAlive, type Outcome, Sandbox } from '../support/sandbox.ts';

if (attachLack !== null) console.log(`attached volumes: ${attachLack}: skipped`);
const has = (name: string) => hasProgram(name) || existsSync(`/usr/sbin/${name}`);
const hasFio = has('fio');
const fileSystems = ['ext4', 'xfs'].filter((one) => has(`mkfs.${one}`));
for (const one of ['fio', 'mkfs.ext4', 'mkfs.xfs'].filter((one) => !has(one)))
  console.log(`attached volumes: ${one} is not installed: its tests are skipped`);

let box: Sandbox;
let server = 0;
let daemon = 0;
let serverConfig = '';
let daemonWords: string[] = [];
const node = (name: string) => join(box.path, 'av0', name);
const rsconfig = (...words: string[]) => box.commandAsync('rsconfig', '-s', join(box.run, 'rsiod.socket'), ...words);
const said = ({ status, stdout, stderr }: Outcome) => `${status} ${stdout}${stderr}`;
const config = (port: string) =>
  `[namespace osl]\n[server big-9]\nserverid=1\n[interface if0]\naddress=127.0.0.1\nport=${port}\n[clients]\nbig-2 0xbig2\n[nbd]\nlisten=no\n` +
  `[device disk]\npath=${join(box.path, 'disk')}\nsize=320m\ncreate=yes\nresize=yes\n` +
  `[device small]\ntype=memory\nsize=16m\n[device sealed]\ntype=memory\nsize=1m\nreadonly=yes\n`;

async function startDaemon(): Promise<void> {
  daemon = await box.daemonAsync('rsiod', 'rsiod.pid', ...daemonWords);
}

describe.skipIf(attachLack !== null)('attached volumes', { timeout: 180_000 }, () => {
  beforeAll(async () => {
    ensureBuilt();
    box = new Sandbox();
    serverConfig = box.file('rssrvcfg', config('0'));
    server = box.daemon('rssrv', 'rssrv.pid', '-c', serverConfig);
    const [, port] = /RSIO clients are served on if0: [\d.]+:(\d+)/.exec(box.log('rssrv.log'))!;
    serverConfig = box.file('rssrvcfg', config(port!));
    const client = box.file(
      'rscltcfg',
      `[defaults]\nattach=loop\n[namespace osl]\nnodename=big-2\nnodekey=0xbig2\nloss-time=5\n[server big-9]\naddress=127.0.0.1\nport=${port}\n`,
    );
    daemonWords = ['-c', client, '-s', join(box.run, 'rsiod.socket'), '-e', join(box.run, 'rsiod.nbd')];
    daemonWords.push('-D', join(box.path, 'av0'));
    await startDaemon();
  }, 120_000);
  afterAll(async () => {
    if (isAlive(daemon)) await rsconfig('-d', '-f');
    if (isAlive(daemon)) process.kill(daemon, 'SIGTERM');
    await eventually('the daemon has ended', () => !isAlive(daemon));
    try {
      await nothingBelow(box.path);
    } finally {
      await box.end();
    }
  }, 60_000);

  it('are found under their names, and are shown', async () => {
    expect(said(await rsconfig('-a'))).toBe('0 osl:disk\nosl:sealed\nosl:small\n');
    const loop = readlinkSync(node('small'));
    expect(loop).toMatch(/^\/dev\/loop\d+$/);
    expect(readlinkSync(node('rsmall'))).toBe(loop);
    const shown = (await rsconfig('-lvv')).stdout;
    expect(shown).toContain(`osl:small@0\n    c: ${node('rsmall')}`);
    expect(shown).toMatch(/ 32768 blocks, {2}1 server\(s\)\n {4}b: /);
    expect((await rsconfig('-lvvv')).stdout).toContain(`loop: ${loop}\n`);
    const queue = (name: string) => readFileSync(`/sys/block/${loop.slice(5)}/queue/${name}`, 'utf8').trim();
    expect([queue('write_cache'), queue('logical_block_size')]).toEqual(['write back', '512']);
    expect(Number(queue('discard_max_bytes'))).toBeGreaterThan(0);
    expect(Number(queue('write_zeroes_max_bytes'))).toBeGreaterThan(0);
    expect(readFileSync(`/sys/block/${loop.slice(5)}/loop/dio`, 'utf8').trim()).toBe('1');
    expect(readFileSync(`/sys/block/${readlinkSync(node('sealed')).slice(5)}/ro`, 'utf8').trim()).toBe('1');
  });

  it('keep what is written, read zeroes where it was discarded, and end at their end', async () => {
    const device = node('small');
    await must('bash', '-c', `head -c 4m /dev/urandom > ${join(box.path, 'data')}`);
    await must('dd', `if=${join(box.path, 'data')}`, `of=${device}`, 'bs=1M', 'oflag=direct', 'status=none');
    await must('cmp', '-n', `${4 << 20}`, join(box.path, 'data'), device);
    await must('blkdiscard', '-o', '1M', '-l', '1M', device);
    await must('blkdiscard', '-z', '-o', '2M', '-l', '512K', device);
    await must('cmp', '-n', `${1 << 20}`, join(box.path, 'data'), device);
    await must('cmp', '-i', `${1 << 20}:0`, '-n', `${1536 << 10}`, device, '/dev/zero');
    await must('cmp', '-i', `${2560 << 10}`, '-n', `${1536 << 10}`, join(box.path, 'data'), device);
    expect((await runProgram('dd', ['if=/dev/zero', `of=${device}`, 'bs=1M', 'count=1', 'seek=16'])).code).not.toBe(0);
    expect((await runProgram('dd', ['if=/dev/zero', `of=${node('sealed')}`, 'count=1'])).code).not.toBe(0);
  });

  it.each(fileSystems)('carry %s: made, mounted, synced, trimmed, mounted again, checked', async (kind) => {
    const [device, data] = [readlinkSync(node('disk')), join(box.path, 'data')];
    const mounted = box.mountPoint(`mnt-${kind}`);
    await must(`mkfs.${kind}`, '-q', kind === 'ext4' ? '-F' : '-f', device);
    await must('mount', device, mounted);
    await must('dd', `if=${data}`, `of=${mounted}/a`, 'bs=1M', 'conv=fsync', 'status=none');
    await must(
      'bash',
      '-c',
      `for i in $(seq 100); do echo $i > ${mounted}/f$i; done; rm ${mounted}/f1; sync -f ${mounted}`,
    );
    await must('fstrim', mounted);
    expect(said(await rsconfig('-d', 'disk'))).toMatch(/^1 osl:disk: \/dev\/loop\d+ is in use by a file system/);
    await must('umount', mounted);
    await must('mount', device, mounted);
    await must('cmp', data, `${mounted}/a`);
    expect(readdirSync(mounted)).toContain('f100');
    await must('umount', mounted);
    if (kind === 'ext4') await must('e2fsck', '-fn', device);
    else await must('xfs_repair', '-n', device);
  });

  it('grow while they are in use', async () => {
    const held = spawn('sh', ['-c', `exec 9<${node('disk')}; exec sleep 60`], { stdio: 'ignore' });
    try {
      expect(said(await rsconfig('-r', '384m', 'disk'))).toBe('0 osl:disk\n');
      expect(Number((await must('blockdev', '--getsize64', node('disk'))).trim())).toBe(384 << 20);
      await must('dd', 'if=/dev/urandom', `of=${node('disk')}`, 'bs=1M', 'count=1', 'seek=383', 'oflag=direct');
    } finally {
      held.kill('SIGKILL');
    }
  });

  it.skipIf(!hasFio)('do not notice that their server is killed and comes back', async () => {
    const running = runProgram('fio', fioVerify(node('disk'), '--size=16m', '--loops=2'));
    await new Promise((resolve) => setTimeout(resolve, 700));
    process.kill(server, 'SIGKILL');
    await eventually('the server is gone', () => !isAlive(server));
    server = await box.daemonAsync('rssrv', 'rssrv.pid', '-c', serverConfig);
    const { code, text } = await running;
    expect(code, text).toBe(0);
  });

  it('fail when there is no server for the loss time, and go on when there is one', async () => {
    process.kill(server, 'SIGKILL');
    await eventually('the server is gone', () => !isAlive(server));
    const write = ['if=/dev/zero', `of=${node('disk')}`, 'bs=4k', 'count=1', 'oflag=direct'];
    const failed = await runProgram('dd', write);
    expect(failed.text).toContain('Input/output error');
    server = await box.daemonAsync('rssrv', 'rssrv.pid', '-c', serverConfig);
    await eventually('it is there again', async () => (await runProgram('dd', write)).code === 0);
  });

  it('are detached: not while in use, by force at once although no server answers', async () => {
    const loop = readlinkSync(node('disk'));
    process.kill(server, 'SIGSTOP');
    try {
      const stuck = runProgram('dd', ['if=/dev/zero', `of=${node('disk')}`, 'bs=4k', 'count=1000', 'oflag=direct']);
      await eventually('it is in use', async () => /is in use by process/.test(said(await rsconfig('-d', 'disk'))));
      expect(said(await rsconfig('-d', '-f', 'disk'))).toBe('0 osl:disk\n');
      expect((await stuck).code).not.toBe(0);
    } finally {
      process.kill(server, 'SIGCONT');
    }
    expect(existsSync(node('disk'))).toBe(false);
    await eventually('the loop device is gone', () => !loopsBelow(box.path).includes(loop));
    expect(mountsBelow(box.path).some((path) => path.endsWith('osl:disk'))).toBe(false);
    await eventually('it is attached again', async () => (await rsconfig('-a', 'disk')).status === 0);
    await must('dd', 'if=/dev/zero', `of=${node('disk')}`, 'bs=4k', 'count=1', 'oflag=direct');
  });

  it('leave nothing behind when the daemon ends', async () => {
    expect(said(await rsconfig('-d', 'small'))).toBe('0 osl:small\n');
    execFileSync('kill', [`${daemon}`]);
    await eventually('the daemon has ended', () => !isAlive(daemon));
    await nothingBelow(box.path);
    expect(readdirSync(join(box.path, 'av0'))).toEqual([]);
    await startDaemon();
    expect((await rsconfig('-l')).stdout.split('\n').sort()).toEqual(['', 'osl:disk@0', 'osl:sealed@0']);
    expect(readdirSync(join(box.path, 'av0')).sort()).toEqual(['disk', 'rdisk', 'rsealed', 'sealed']);
  });

  it('are refused where their name is taken', async () => {
    await must('bash', '-c', `echo mine > ${node('small')}`);
    expect(said(await rsconfig('-a', 'small'))).toBe(`1 osl:small: ${node('small')} is there already\n`);
    expect(readFileSync(node('small'), 'utf8')).toBe('mine\n');
    await must('rm', node('small'));
  });
});
