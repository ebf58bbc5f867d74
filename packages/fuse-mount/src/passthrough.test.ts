/** Files that the kernel reads itself, on a real mount. Needs root, /dev/fuse and Linux 6.9. */
import { execFile } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { InodeTable, type Services } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import * as libc from '@mortar/libc';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type FuseMount, mountFuse } from './index.ts';
import { canMount } from './mount-rig.ts';
import type { Backing, BackingSource } from './session/passthrough.ts';
import { memory } from './session/session-rig.ts';

/** Every file that is opened has the contents of one local file, which says so. */
class LocalFile implements BackingSource {
  readonly path: string;
  ended = new AbortController();
  given = 0;
  released = 0;

  constructor(path: string) {
    this.path = path;
    writeFileSync(path, 'of the brick');
  }

  backingOf(): Backing {
    this.given++;
    const fd = openSync(this.path, 'r');
    const release = () => {
      closeSync(fd);
      this.released++;
    };
    return { fd, ended: this.ended.signal, release };
  }
}

/** `sys.stdin.readline()` waits until the test goes on. */
function python(cwd: string, ...lines: string[]) {
  const script = ['import ctypes, mmap, os, sys', `os.chdir(${JSON.stringify(cwd)})`, ...lines].join('\n');
  let goOn = () => {};
  const printed = new Promise<string[]>((resolve, reject) => {
    const child = execFile('python3', ['-c', script], { cwd: '/', timeout: 50_000 }, (error, stdout) =>
      error ? reject(error) : resolve(stdout.trim().split('\n')),
    );
    goOn = () => child.stdin?.write('\n');
  });
  return { printed, goOn };
}

const open = "fd = os.open('file', os.O_RDONLY)";
const print = 'print(os.pread(fd, 100, 0).decode())';
const wait = 'sys.stdin.readline()';
/** A program that tries to write, and says how that ended. */
const tryToWrite = `try:
  os.write(os.open('file', os.O_WRONLY), b'written'); print('written')
except OSError as error:
  print(error.strerror)`;

/** MNT_DETACH. */
const lazily = 2;

/** The kernel has passthrough since 6.9: where it has, a refusal is a failure. */
function hasPassthrough(): boolean {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 9);
}

describe.skipIf(!canMount() || !hasPassthrough())('a file with a backing', () => {
  let folder = '';
  let brick = '';
  let local: LocalFile;
  let mount: FuseMount;
  let logged: string[];

  async function start(backings?: BackingSource) {
    logged = [];
    const services: Services = {
      clock: new SystemClock(),
      random: new SystemRandom(),
      log: { level: 'INFO', setLevel: () => {}, write: (_level, _origin, text) => logged.push(text) },
      metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
      inodes: new InodeTable(),
      port: (name) => {
        throw new Error(`no port ${name}`);
      },
    };
    const { ops: top } = memory(services);
    const mountPoint = join(folder, 'mount');
    const session = backings ? { backings } : {};
    mount = await mountFuse({ mountPoint, source: 'm', services, clientId: 't', top, session });
    await run("os.write(os.open('file', os.O_WRONLY | os.O_CREAT), b'of the graph')");
  }
  const run = (...lines: string[]) => python(mount.mountPoint, ...lines).printed;
  const reads = () => mount.stats.requests.read ?? 0;

  async function startWithBacking() {
    await start(local);
    expect(logged).toEqual([]);
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'mortar-mount-'));
    mkdirSync(join(folder, 'mount'));
    brick = join(folder, 'brick');
    mkdirSync(brick);
    expect(libc.mount('brick', brick, 'tmpfs', 0)).toBe(0);
    local = new LocalFile(join(brick, 'file'));
  });
  afterEach(async () => {
    try {
      await vi.waitFor(() => expect(local.released).toBe(local.given));
      // The kernel has given the file back as well.
      await vi.waitFor(() => expect(libc.umount2(brick)).toBe(0));
    } finally {
      libc.umount2(brick, lazily);
      await mount.unmount();
    }
    await mount.closed;
    expect(mount.stats).toMatchObject({ exceptions: 0, malformed: 0, handles: 0 });
    rmSync(folder, { recursive: true });
  });

  it('is read by the kernel without a request, and the backing comes back', async () => {
    await startWithBacking();
    expect(await run(open, print, 'print(mmap.mmap(fd, 2, prot=1)[:].decode())')).toEqual(['of the brick', 'of']);
    expect(reads()).toBe(0);
    await vi.waitFor(() => expect([local.given, local.released]).toEqual([1, 1]));
    expect(await run(open, print)).toEqual(['of the brick']);
    await vi.waitFor(() => expect([local.given, local.released]).toEqual([2, 2]));
  });

  it('is shared by its readers, and writers are refused until they have gone', async () => {
    await startWithBacking();
    const reader = python(mount.mountPoint, open, wait, print);
    await vi.waitFor(() => expect(local.given).toBe(1));
    expect(await run(open, print)).toEqual(['of the brick']);
    expect(await run(tryToWrite)).toEqual(['Text file busy']);
    expect([local.given, local.released]).toEqual([1, 0]);
    reader.goOn();
    expect(await reader.printed).toEqual(['of the brick']);
    await vi.waitFor(() => expect(local.released).toBe(1));
    expect(await run(tryToWrite)).toEqual(['written']);
    expect(reads()).toBe(0);
  });

  it('has no passthrough while somebody writes it', async () => {
    await startWithBacking();
    const writer = python(mount.mountPoint, "fd = os.open('file', os.O_RDWR)", wait);
    await vi.waitFor(() => expect(mount.stats.handles).toBe(1));
    expect(await run(open, print)).toEqual(['of the graph']);
    writer.goOn();
    await writer.printed;
    expect(local.given).toBe(0);
  });

  it('goes on being read from there when that has ended, and is opened by nobody else', async () => {
    await startWithBacking();
    const reader = python(mount.mountPoint, open, wait, print);
    await vi.waitFor(() => expect(local.given).toBe(1));
    local.ended.abort();
    await expect(run(open)).rejects.toThrow('Text file busy');
    reader.goOn();
    expect(await reader.printed).toEqual(['of the brick']);
  });

  it('stays mapped after it was closed', async () => {
    await startWithBacking();
    // Python's own mmap keeps the file open.
    const map = `c = ctypes.CDLL(None); c.mmap.restype = ctypes.c_void_p; at = c.mmap(None, 4096, 1, 1, fd, 0)`;
    const show = 'print(ctypes.string_at(at, 2).decode())';
    const reader = python(mount.mountPoint, open, map, 'os.close(fd)', wait, show);
    await vi.waitFor(() => expect(local.released).toBe(1));
    writeFileSync(local.path, 'OF', { flag: 'r+' });
    reader.goOn();
    expect(await reader.printed).toEqual(['OF']);
  });

  it('is read by requests where no source is given', async () => {
    await start();
    expect(await run(open, print, 'os.close(fd)', tryToWrite)).toEqual(['of the graph', 'written']);
    expect(reads()).toBeGreaterThan(0);
    expect(logged).toEqual([]);
  });
});
