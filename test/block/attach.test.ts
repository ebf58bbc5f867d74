/** Attached volumes as block devices of this machine: a FUSE file and a loop device over it, with real daemons. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  AttachBox,
  attachLack,
  hasTool,
  loopsBelow,
  mountsBelow,
  must,
  nothingBelow,
  runProgram,
  verifyDuring,
} from '../support/attach-rig.ts';
import { eventually } from '../support/cluster.ts';

if (attachLack !== null) console.log(`attached volumes: ${attachLack}: skipped`);
for (const one of ['fio', 'mkfs.ext4', 'mkfs.xfs'].filter((one) => !hasTool(one)))
  console.log(`attached volumes: ${one} is not installed: its tests are skipped`);
const fileSystems = ['ext4', 'xfs'].filter((one) => hasTool(`mkfs.${one}`));

let rig: AttachBox;

describe.skipIf(attachLack !== null)('attached volumes', { timeout: 180_000 }, () => {
  beforeAll(async () => {
    rig = new AttachBox();
    await rig.start(
      `[device disk]\npath=${join(rig.box.path, 'disk')}\nsize=320m\ncreate=yes\nresize=yes\n` +
        `[device small]\ntype=memory\nsize=16m\n[device sealed]\ntype=memory\nsize=1m\nreadonly=yes\n`,
    );
  }, 120_000);
  afterAll(() => rig.end(), 60_000);

  it('are found under their names, and are shown', async () => {
    expect(await rig.said('-a')).toBe('0 osl:disk\nosl:sealed\nosl:small\n');
    const loop = readlinkSync(rig.node('small'));
    expect(loop).toMatch(/^\/dev\/loop\d+$/);
    expect(readlinkSync(rig.node('rsmall'))).toBe(loop);
    const shown = (await rig.rsconfig('-lvv')).stdout;
    expect(shown).toContain(`osl:small@0\n    c: ${rig.node('rsmall')}`);
    expect(shown).toMatch(/ 32768 blocks, {2}1 server\(s\)\n {4}b: /);
    expect((await rig.rsconfig('-lvvv')).stdout).toContain(`loop: ${loop}\n`);
    const queue = (name: string) => readFileSync(`/sys/block/${loop.slice(5)}/queue/${name}`, 'utf8').trim();
    expect([queue('write_cache'), queue('logical_block_size')]).toEqual(['write back', '512']);
    expect(Number(queue('discard_max_bytes'))).toBeGreaterThan(0);
    expect(Number(queue('write_zeroes_max_bytes'))).toBeGreaterThan(0);
    expect(readFileSync(`/sys/block/${loop.slice(5)}/loop/dio`, 'utf8').trim()).toBe('1');
    expect(readFileSync(`/sys/block/${readlinkSync(rig.node('sealed')).slice(5)}/ro`, 'utf8').trim()).toBe('1');
  });

  it('keep what is written, read zeroes where it was discarded, and end at their end', async () => {
    const device = rig.node('small');
    await must('bash', '-c', `head -c 4m /dev/urandom > ${join(rig.box.path, 'data')}`);
    await must('dd', `if=${join(rig.box.path, 'data')}`, `of=${device}`, 'bs=1M', 'oflag=direct', 'status=none');
    await must('cmp', '-n', `${4 << 20}`, join(rig.box.path, 'data'), device);
    await must('blkdiscard', '-o', '1M', '-l', '1M', device);
    await must('blkdiscard', '-z', '-o', '2M', '-l', '512K', device);
    await must('cmp', '-n', `${1 << 20}`, join(rig.box.path, 'data'), device);
    await must('cmp', '-i', `${1 << 20}:0`, '-n', `${1536 << 10}`, device, '/dev/zero');
    await must('cmp', '-i', `${2560 << 10}`, '-n', `${1536 << 10}`, join(rig.box.path, 'data'), device);
    expect((await runProgram('dd', ['if=/dev/zero', `of=${device}`, 'bs=1M', 'count=1', 'seek=16'])).code).not.toBe(0);
    expect((await runProgram('dd', ['if=/dev/zero', `of=${rig.node('sealed')}`, 'count=1'])).code).not.toBe(0);
  });

  it('have partitions when a table is written, and are in use by who has one open', async () => {
    const [link, table] = [rig.node('small'), Buffer.alloc(512)];
    const loop = readlinkSync(link);
    const sysfs = `/sys/block/${loop.slice(5)}`;
    expect(readFileSync(`${sysfs}/loop/partscan`, 'utf8').trim()).toBe('1');
    // Two primary partitions of 4 MiB each, of type 0x83.
    for (const [i, start] of [2048, 16384].entries()) {
      table[446 + 16 * i + 4] = 0x83;
      table.writeUInt32LE(start, 446 + 16 * i + 8);
      table.writeUInt32LE(8192, 446 + 16 * i + 12);
    }
    table.writeUInt16LE(0xaa55, 510);
    writeFileSync(join(rig.box.path, 'table'), table);
    await must('dd', `if=${join(rig.box.path, 'table')}`, `of=${loop}`, 'conv=fsync', 'status=none');
    await must('blockdev', '--rereadpt', loop);
    // A kernel that knows this kind of table has found them itself.
    if (!existsSync(`${sysfs}/${loop.slice(5)}p1`)) await must('partx', '-a', loop);
    expect([1, 2].map((i) => readFileSync(`${sysfs}/${loop.slice(5)}p${i}/size`, 'utf8').trim())).toEqual([
      '8192',
      '8192',
    ]);
    await must('dd', 'if=/dev/urandom', `of=${loop}p2`, 'bs=4k', 'count=1', 'conv=fsync', 'status=none');
    await must('cmp', '-n', '4096', '-i', `${16384 * 512}:0`, loop, `${loop}p2`);
    const held = spawn('sh', ['-c', `exec 9<${loop}p1; exec sleep 60`], { stdio: 'ignore' });
    try {
      await eventually('it is in use', async () => /in use by .*process/.test(await rig.said('-d', 'small')));
    } finally {
      held.kill('SIGKILL');
    }
    await eventually('it is detached', async () => (await rig.rsconfig('-d', 'small')).status === 0);
    expect(existsSync(`${loop}p1`)).toBe(false);
    expect(await rig.said('-a', 'small')).toBe('0 osl:small\n');
  });

  it.each(fileSystems)('carry %s: made, mounted, synced, trimmed, mounted again, checked', async (kind) => {
    const [device, data] = [readlinkSync(rig.node('disk')), join(rig.box.path, 'data')];
    const mounted = rig.box.mountPoint(`mnt-${kind}`);
    await must(`mkfs.${kind}`, '-q', kind === 'ext4' ? '-F' : '-f', device);
    await must('mount', device, mounted);
    await must('dd', `if=${data}`, `of=${mounted}/a`, 'bs=1M', 'conv=fsync', 'status=none');
    await must(
      'bash',
      '-c',
      `for i in $(seq 100); do echo $i > ${mounted}/f$i; done; rm ${mounted}/f1; sync -f ${mounted}`,
    );
    await must('fstrim', mounted);
    expect(await rig.said('-d', 'disk')).toMatch(/^1 osl:disk: \/dev\/loop\d+ is in use by a file system/);
    await must('umount', mounted);
    await must('mount', device, mounted);
    await must('cmp', data, `${mounted}/a`);
    expect(readdirSync(mounted)).toContain('f100');
    await must('umount', mounted);
    if (kind === 'ext4') await must('e2fsck', '-fn', device);
    else await must('xfs_repair', '-n', device);
  });

  it('grow while they are in use', async () => {
    const held = spawn('sh', ['-c', `exec 9<${rig.node('disk')}; exec sleep 60`], { stdio: 'ignore' });
    try {
      expect(await rig.said('-r', '384m', 'disk')).toBe('0 osl:disk\n');
      expect(Number((await must('blockdev', '--getsize64', rig.node('disk'))).trim())).toBe(384 << 20);
      await must('dd', 'if=/dev/urandom', `of=${rig.node('disk')}`, 'bs=1M', 'count=1', 'seek=383', 'oflag=direct');
    } finally {
      held.kill('SIGKILL');
    }
  });

  it.skipIf(!hasTool('fio'))('do not notice that their server is killed and comes back', async () => {
    await verifyDuring(readlinkSync(rig.node('disk')), 4, async () => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await rig.kill(rig.server);
      await rig.startServer();
    });
  });

  it('fail when there is no server for the loss time, and go on when there is one', async () => {
    await rig.kill(rig.daemon, 'SIGTERM');
    await rig.startDaemon('attach=loop', 'loss-time=2');
    await rig.kill(rig.server);
    const write = ['if=/dev/zero', `of=${rig.node('disk')}`, 'bs=4k', 'count=1', 'oflag=direct'];
    const failed = await runProgram('dd', write);
    expect(failed.text).toContain('Input/output error');
    await rig.startServer();
    await eventually('it is there again', async () => (await runProgram('dd', write)).code === 0);
  });

  it('are detached: not while in use, by force at once although no server answers', async () => {
    const loop = readlinkSync(rig.node('disk'));
    process.kill(rig.server, 'SIGSTOP');
    try {
      const stuck = runProgram('dd', ['if=/dev/zero', `of=${rig.node('disk')}`, 'bs=4k', 'count=1000', 'oflag=direct']);
      await eventually('it is in use', async () => /is in use by process/.test(await rig.said('-d', 'disk')));
      expect(await rig.said('-d', '-f', 'disk')).toBe('0 osl:disk\n');
      expect((await stuck).code).not.toBe(0);
    } finally {
      process.kill(rig.server, 'SIGCONT');
    }
    expect(existsSync(rig.node('disk'))).toBe(false);
    await eventually('the loop device is gone', () => !loopsBelow(rig.box.path).includes(loop));
    expect(mountsBelow(rig.box.path).some((path) => path.endsWith('osl:disk'))).toBe(false);
    await eventually('it is attached again', async () => (await rig.rsconfig('-a', 'disk')).status === 0);
    await must('dd', 'if=/dev/zero', `of=${rig.node('disk')}`, 'bs=4k', 'count=1', 'oflag=direct');
  });

  it('leave nothing behind when the daemon ends', async () => {
    expect(await rig.said('-d', 'small')).toBe('0 osl:small\n');
    await rig.kill(rig.daemon, 'SIGTERM');
    await nothingBelow(rig.box.path);
    expect(readdirSync(join(rig.box.path, 'av0'))).toEqual([]);
    await rig.startDaemon();
    expect((await rig.rsconfig('-l')).stdout.split('\n').sort()).toEqual(['', 'osl:disk@0', 'osl:sealed@0']);
    expect(readdirSync(join(rig.box.path, 'av0')).sort()).toEqual(['disk', 'rdisk', 'rsealed', 'sealed']);
  });

  it('are refused where their name is taken', async () => {
    await must('bash', '-c', `echo mine > ${rig.node('small')}`);
    expect(await rig.said('-a', 'small')).toBe(`1 osl:small: ${rig.node('small')} is there already\n`);
    expect(readFileSync(rig.node('small'), 'utf8')).toBe('mine\n');
    await must('rm', rig.node('small'));
  });

  it('are files where that is wanted', async () => {
    await rig.kill(rig.daemon, 'SIGTERM');
    await rig.startDaemon('attach=file');
    const file = readlinkSync(rig.node('disk'));
    expect(file).toBe(join(rig.box.run, 'rsiod.socket.files/osl:disk'));
    expect((await must('stat', '-L', '-c', '%F %s', rig.node('disk'))).trim()).toBe(`regular file ${384 << 20}`);
    const data = join(rig.box.path, 'data');
    await must('dd', `if=${data}`, `of=${rig.node('disk')}`, 'bs=30000', 'conv=notrunc,fsync', 'status=none');
    await must('cmp', '-n', `${4 << 20}`, data, rig.node('disk'));
    expect((await runProgram('truncate', ['-s', '1m', file])).text).toContain('Operation not permitted');
    expect((await runProgram('dd', ['if=/dev/zero', `of=${rig.node('sealed')}`, 'conv=notrunc'])).code).not.toBe(0);
    const held = spawn('sh', ['-c', `exec 9<${file}; exec sleep 60`], { stdio: 'ignore' });
    try {
      await eventually(
        'it is in use',
        async () => (await rig.said('-d', 'disk')) === `1 osl:disk: ${file} is in use\n`,
      );
      expect(await rig.said('-d', '-f', 'disk')).toBe('0 osl:disk\n');
      expect(mountsBelow(rig.box.path)).not.toContain(file);
    } finally {
      held.kill('SIGKILL');
    }
  });

  it.skipIf(existsSync('/sys/module/nbd'))('are refused by name where the kernel has not what is wanted', async () => {
    await rig.kill(rig.daemon, 'SIGTERM');
    await rig.startDaemon('attach=nbd');
    expect(await rig.said('-a', 'small')).toBe(
      '1 osl:small: attach = nbd: the kernel has no nbd module (modprobe nbd); attach = auto takes what there is\n',
    );
    expect((await rig.rsconfig('-l')).stdout).toBe('');
  });
});
