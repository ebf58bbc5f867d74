/** The NBD programs of a distribution against rssrv: libnbd, qemu, fio. What is not installed is skipped, with a word. */
import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureBuilt, Sandbox } from '../support/sandbox.ts';

const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const hasPython = spawnSync('/usr/bin/python3', ['-c', 'import nbd']).status === 0;
const hasFio = has('fio') && spawnSync('fio', ['--enghelp'], { encoding: 'utf8' }).stdout?.includes('nbd') === true;
const needed = {
  nbdinfo: has('nbdinfo'),
  nbdcopy: has('nbdcopy'),
  'qemu-io': has('qemu-io'),
  'fio with nbd': hasFio,
  'python3-libnbd': hasPython,
  openssl: has('openssl'),
};
for (const [name, there] of Object.entries(needed))
  if (!there) console.log(`NBD clients: ${name} is not installed: its tests are skipped`);

const mebibyte = 1024 * 1024;
const sizeBytes = 64 * mebibyte;
let box: Sandbox;
let port = '';

interface Ran {
  status: number;
  stdout: string;
  stderr: string;
}

function run(program: string, ...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd: box.path, timeout: 60_000, maxBuffer: 64 * mebibyte }, (error, stdout, stderr) => {
      resolve({ status: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr });
    });
  });
}

/** Succeeds; its output. */
async function good(program: string, ...args: string[]): Promise<string> {
  const ran = await run(program, ...args);
  if (ran.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${ran.stderr}${ran.stdout}`);
  return ran.stdout;
}

const uri = (name: string) => `nbd+unix:///${name}?socket=${join(box.run, 'nbd.sock')}`;
const image = (name: string) => join(box.path, name);
const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Data, holes, and an odd piece at the end. */
function makeImage(name: string): string {
  const path = image(name);
  writeFileSync(path, randomBytes(8 * mebibyte));
  truncateSync(path, sizeBytes);
  spawnSync('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=3', 'seek=40', 'conv=notrunc']);
  return path;
}

beforeAll(async () => {
  ensureBuilt();
  box = new Sandbox();
  const members = [1, 2].map((i) => `[device m${i}]\npath=${image(`m${i}`)}\nsize=32m\ncreate=yes\n`);
  const file = box.file(
    'rssrvcfg',
    `[namespace osl]\n[server s]\n[nbd]\nport=0\nsocket=${join(box.run, 'nbd.sock')}\n` +
      '[device memory]\ntype=memory\nsize=64m\ndescription=in memory\n' +
      `[device file]\npath=${image('device')}\nsize=64m\ncreate=yes\n` +
      `${members.join('')}[device stripe]\ntype=stripe\nmembers=m1 m2\n[device ro]\ntype=memory\nsize=1m\nreadonly=yes\n`,
  );
  box.daemon('rssrv', 'rssrv.pid', '-c', file);
  port = /served on 127\.0\.0\.1:(\d+)/.exec(readFileSync(join(box.logs, 'rssrv.log'), 'utf8'))![1]!;
}, 120_000);
afterAll(() => box.end());

const devices = ['memory', 'file', 'stripe'];

describe.skipIf(!needed.nbdinfo)('nbdinfo', () => {
  it('finds all that was negotiated', async () => {
    const info = JSON.parse(await good('nbdinfo', '--json', uri('memory')));
    expect(info).toMatchObject({ protocol: 'newstyle-fixed', TLS: false, structured: true });
    expect(info.exports[0]).toMatchObject({
      'export-name': 'memory',
      description: 'in memory',
      contexts: ['base:allocation'],
      is_read_only: false,
      can_cache: true,
      can_df: true,
      can_fast_zero: true,
      can_flush: true,
      can_fua: true,
      can_multi_conn: true,
      can_trim: true,
      can_zero: true,
      block_size_minimum: 1,
      block_size_preferred: 4096,
      block_size_maximum: 32 * mebibyte,
      'export-size': sizeBytes,
    });
  });

  it('lists, maps, asks, and is told no', async () => {
    const listed = await good('nbdinfo', '--list', '--json', `nbd://127.0.0.1:${port}/`);
    expect(JSON.parse(listed).exports.map((one: { 'export-name': string }) => one['export-name'])).toEqual([
      'memory',
      'file',
      'stripe',
      'ro',
    ]);
    expect(await good('nbdinfo', '--map', '--totals', uri('osl/ro'))).toMatch(/1048576 100\.0%\s+3 hole,zero/);
    expect((await run('nbdinfo', '--is', 'read-only', uri('ro'))).status).toBe(0);
    expect((await run('nbdinfo', '--can', 'multi-conn', uri('file'))).status).toBe(0);
    expect((await run('nbdinfo', '--can', 'write', uri('ro'))).status).toBe(2);
    const { status, stderr } = await run('nbdinfo', uri('nobody'));
    expect(status).toBe(1);
    expect(stderr).toMatch(/No such file or directory|no export named/);
  });
});

describe.skipIf(!needed.nbdcopy).each(devices)('nbdcopy and %s', (name) => {
  it('carry an image there and back, over many connections and over one', async () => {
    const path = makeImage(`${name}.img`);
    await good('nbdcopy', '--connections=8', '--requests=64', path, uri(name));
    await good('nbdcopy', uri(name), image(`${name}.back`));
    expect(digest(image(`${name}.back`))).toBe(digest(path));
    await good('nbdcopy', '--synchronous', '--destination-is-zero', '--flush', path, uri(name));
    await good('nbdcopy', '--synchronous', uri(name), image(`${name}.back`));
    expect(digest(image(`${name}.back`))).toBe(digest(path));
    await good('nbdcopy', uri(name), 'null:');
  });
});

describe.skipIf(!needed['qemu-io']).each(devices)('qemu and %s', (name) => {
  const io = (...commands: string[]) =>
    good('qemu-io', '-f', 'raw', '-d', 'unmap', uri(name), ...commands.flatMap((one) => ['-c', one]));

  it('write, zero, discard and read patterns, aligned and not', async () => {
    const text = await io(
      'write -f -P 7 2M 64k',
      'write -P 9 1000001 777',
      'write -z -u 4M 1M',
      'write -P 5 6M 1M',
      'write -z 6M 512k',
      'write -z -n 7M 4k',
      'discard 8M 1M',
      'write -P 3 67108863 1',
      'aio_write -P 11 20M 1M',
      'aio_write -P 12 21M 1M',
      'aio_flush',
      'flush',
      'read -P 7 2M 64k',
      'read -P 9 1000001 777',
      'read -P 0 4M 1M',
      'read -P 0 6M 512k',
      'read -P 5 6656k 512k',
      'read -P 11 20M 1M',
      'read -P 12 21M 1M',
      'read -P 3 67108863 1',
    ).catch((error: Error) => error.message);
    expect(text).not.toMatch(/Pattern verification failed|error|failed/i);
  });

  it('convert, compare, map and bench', async () => {
    const path = makeImage(`${name}.qemu`);
    await good('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', path, uri(name));
    expect(await good('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', path, uri(name))).toMatch(/identical/);
    const map = JSON.parse(await good('qemu-img', 'map', '--output=json', '-f', 'raw', uri(name)));
    expect(map.at(-1).start + map.at(-1).length).toBe(sizeBytes);
    expect(map.some((extent: { zero: boolean }) => extent.zero)).toBe(true);
    await good(
      'qemu-img',
      'bench',
      '-c',
      '2000',
      '-d',
      '64',
      '-s',
      '8192',
      '-S',
      '73728',
      '-t',
      'none',
      '-f',
      'raw',
      uri(name),
    );
    await good(
      'qemu-img',
      'bench',
      '-w',
      '-c',
      '2000',
      '-d',
      '64',
      '-s',
      '4096',
      '-t',
      'none',
      '-f',
      'raw',
      '--flush-interval=100',
      uri(name),
    );
  });

  it('refuses what is outside', async () => {
    const { stdout, stderr } = await run('qemu-io', '-f', 'raw', uri(name), '-c', 'write -P 1 64M 4k');
    expect(stdout + stderr).toMatch(/error|No space|Invalid|past/i);
  });
});

describe.skipIf(!hasPython)('libnbd', () => {
  const python = (script: string) => good('/usr/bin/python3', '-c', `import nbd\n${script}`);

  it('sees a flush of one connection cover writes of others, 128 requests in flight and answers of 32 MiB', async () => {
    await python(`
hs = [nbd.NBD() for i in range(4)]
for h in hs: h.connect_uri(${JSON.stringify(uri('memory'))})
for i, h in enumerate(hs): h.pwrite(bytes([i + 1]) * 65536, i * 65536)
hs[3].flush()
for i, h in enumerate(hs): assert hs[(i + 1) % 4].pread(65536, i * 65536) == bytes([i + 1]) * 65536
h = hs[0]
buffers = [(h.aio_pread(b := nbd.Buffer(4096), i * 4096), b) for i in range(128)]
while h.aio_in_flight() > 0: h.poll(-1)
assert all(b.to_bytearray()[0] == i // 16 + 1 for i, (c, b) in enumerate(buffers[:64]))
big = bytes(range(256)) * 131072
h.pwrite(big, 32 * 1048576)
assert h.pread(len(big), 32 * 1048576) == big
chunks = []
h.trim(1048576, 1048576)
h.pread_structured(3 * 1048576, 0, lambda data, offset, status, err: chunks.append((offset, len(data), status)))
assert sum(n for o, n, s in chunks) == 3 * 1048576 and any(s == nbd.READ_HOLE for o, n, s in chunks), chunks
for h in hs: h.shutdown()
`);
  });

  it('is refused by errno what it may not do, and goes on with the connection', async () => {
    await python(`
import errno
h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(${JSON.stringify(uri('ro'))})
def fails(code, f):
    try: f()
    except nbd.Error as e: assert e.errnum == code, (e.errnum, code)
    else: raise AssertionError('it was allowed')
fails(errno.EPERM, lambda: h.pwrite(b'x', 0))
fails(errno.EPERM, lambda: h.trim(512, 0))
fails(errno.EPERM, lambda: h.zero(512, 0))
fails(errno.EINVAL, lambda: h.pread(512, 1048576))
w = nbd.NBD()
w.set_strict_mode(0)
w.connect_uri(${JSON.stringify(uri('memory'))})
fails(errno.ENOSPC, lambda: w.pwrite(b'xy', 64 * 1048576 - 1))
fails(errno.EINVAL, lambda: w.pread(2, 64 * 1048576 - 1))
fails(errno.EINVAL, lambda: w.cache(512, 64 * 1048576))
fails(errno.EINVAL, lambda: w.block_status(512, 0, lambda *a: 0))
w.pwrite(b'z', 64 * 1048576 - 1, nbd.CMD_FLAG_FUA)
assert w.pread(1, 64 * 1048576 - 1) == b'z'
`);
  });

  it('negotiates step by step', async () => {
    await python(`
h = nbd.NBD()
h.set_opt_mode(True)
h.connect_unix(${JSON.stringify(join(box.run, 'nbd.sock'))})
names = []
h.opt_list(lambda name, description: names.append(name))
assert names == ['memory', 'file', 'stripe', 'ro'], names
h.set_export_name('nobody')
try: h.opt_info()
except nbd.Error: pass
else: raise AssertionError('an export that is not there')
h.add_meta_context('base:allocation')
h.set_export_name('file')
h.opt_info()
assert h.get_size() == 64 * 1048576
h.set_export_name('ro')
h.opt_go()
entries = []
h.block_status(1048576, 0, lambda context, offset, e, err: entries.extend(e), nbd.CMD_FLAG_REQ_ONE)
assert entries == [1048576, 3], entries
a = nbd.NBD()
a.set_opt_mode(True)
a.connect_unix(${JSON.stringify(join(box.run, 'nbd.sock'))})
a.opt_abort()
`);
  });
});

describe.skipIf(!hasFio)('fio', () => {
  it.each(devices)('writes %s over four connections and verifies it', async (name) => {
    await good(
      ...([
        'fio',
        '--name=verify',
        '--ioengine=nbd',
        `--uri=${uri(name)}`,
        '--rw=randwrite',
        '--bsrange=512-128k',
      ] as const),
      ...[
        '--size=8m',
        '--offset_increment=8m',
        '--iodepth=16',
        '--numjobs=4',
        '--thread',
        '--verify=crc32c',
        '--verify_fatal=1',
        '--group_reporting',
      ],
    );
  });
});

describe.skipIf(!needed.openssl || !needed.nbdinfo)('TLS', () => {
  const certificates = () => box.path;
  let tlsPort = '';

  beforeAll(async () => {
    const openssl = (...args: string[]) => good('openssl', ...args);
    const at = (name: string) => join(certificates(), name);
    await openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      at('ca-key.pem'),
      '-out',
      at('ca-cert.pem'),
      '-subj',
      '/CN=lab',
      '-days',
      '2',
    );
    for (const [who, subject] of [
      ['server', 'localhost'],
      ['client', 'big-2'],
    ] as const) {
      writeFileSync(
        at('ext'),
        who === 'server' ? 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' : 'extendedKeyUsage=clientAuth\n',
      );
      await openssl(
        'req',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-keyout',
        at(`${who}-key.pem`),
        '-out',
        at(`${who}.csr`),
        '-subj',
        `/CN=${subject}`,
      );
      await openssl(
        'x509',
        '-req',
        '-in',
        at(`${who}.csr`),
        '-CA',
        at('ca-cert.pem'),
        '-CAkey',
        at('ca-key.pem'),
        '-CAcreateserial',
        '-out',
        at(`${who}-cert.pem`),
        '-days',
        '2',
        '-extfile',
        at('ext'),
      );
    }
    writeFileSync(at('keys.psk'), `venus:${'5a'.repeat(32)}\n`, { mode: 0o600 });
    mkdirSync(at('without'));
    writeFileSync(at('without/ca-cert.pem'), readFileSync(at('ca-cert.pem')));
    for (const [name, more] of [
      [
        'x509',
        `tls-certificate=${at('server-cert.pem')}\ntls-key=${at('server-key.pem')}\ntls-authority=${at('ca-cert.pem')}\n`,
      ],
      ['psk', `tls-keys=${at('keys.psk')}\n`],
    ] as const) {
      const device =
        '[device vol]\ntype=memory\nsize=8m\nclients = big-2 venus\n[device other]\ntype=memory\nsize=1m\nclients=mars\n';
      const file = box.file(
        `${name}.cfg`,
        `[namespace osl]\n[server s]\n[nbd]\nport=0\ntls=required\n${more}${device}`,
      );
      box.daemon('rssrv', `${name}.pid`, '-c', file, '-l', join(box.logs, `${name}.log`));
    }
  }, 60_000);

  const portOf = (name: string) =>
    /served on 127\.0\.0\.1:(\d+)/.exec(readFileSync(join(box.logs, `${name}.log`), 'utf8'))![1]!;

  it('with certificates proves both sides, and gives what the name may use', async () => {
    tlsPort = portOf('x509');
    const address = `nbds://localhost:${tlsPort}`;
    expect(await good('nbdinfo', '--size', `${address}/vol?tls-certificates=${certificates()}`)).toBe(
      `${8 * mebibyte}\n`,
    );
    expect((await run('nbdinfo', `${address}/other?tls-certificates=${certificates()}`)).stderr).toMatch(
      /No such file or directory|no export named/,
    );
    expect((await run('nbdinfo', `${address}/vol?tls-certificates=${join(certificates(), 'without')}`)).status).toBe(1);
    expect((await run('nbdinfo', `nbd://localhost:${tlsPort}/vol`)).status).toBe(1);
    if (!needed.nbdcopy) return;
    const path = image('tls.img');
    writeFileSync(path, randomBytes(8 * mebibyte));
    await good('nbdcopy', path, `${address}/vol?tls-certificates=${certificates()}`);
    await good('nbdcopy', `${address}/vol?tls-certificates=${certificates()}`, image('tls.back'));
    expect(digest(image('tls.back'))).toBe(digest(path));
    expect(statSync(image('tls.back')).size).toBe(8 * mebibyte);
  });

  it('with keys shared in advance lets in who has one', async () => {
    const address = `127.0.0.1:${portOf('psk')}/vol?tls-psk-file=${join(certificates(), 'keys.psk')}`;
    expect(await good('nbdinfo', '--size', `nbds://venus@${address}`)).toBe(`${8 * mebibyte}\n`);
    expect((await run('nbdinfo', '--size', `nbds://mars@${address}`)).status).toBe(1);
  });

  it.skipIf(!needed['qemu-io'])('is spoken by qemu as well', async () => {
    const credentials = `tls-creds-x509,id=t0,dir=${certificates()},endpoint=client`;
    const options = `driver=nbd,host=localhost,port=${portOf('x509')},tls-creds=t0,export=vol`;
    expect(await good('qemu-img', 'info', '--object', credentials, '--image-opts', options)).toMatch(/8 MiB/);
    writeFileSync(join(certificates(), 'keys.psk'), `venus:${'5a'.repeat(32)}\n`);
    const psk = `tls-creds-psk,id=t0,dir=${certificates()},username=venus,endpoint=client`;
    const pskOptions = `driver=nbd,host=127.0.0.1,port=${portOf('psk')},tls-creds=t0,export=vol`;
    expect(await good('qemu-img', 'info', '--object', psk, '--image-opts', pskOptions)).toMatch(/8 MiB/);
  });
});
