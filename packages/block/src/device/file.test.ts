import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Errno } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf } from './conformance.ts';
import { FileDevice } from './file.ts';

const clock = new SystemClock();
const mebibyte = 1024 * 1024;
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-block-'));
  path = join(folder, 'device');
  writeFileSync(path, '');
  truncateSync(path, 64 * mebibyte);
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('FileDevice', () => {
  it('is written by one server only, and read by nobody else then', async () => {
    const first = new FileDevice({ path, clock });
    expect(() => new FileDevice({ path, clock })).toThrow(/in use/);
    expect(() => new FileDevice({ path, clock, readOnly: true })).toThrow(/in use/);
    await first.close();
    const readers = [new FileDevice({ path, clock, readOnly: true }), new FileDevice({ path, clock, readOnly: true })];
    expect(() => new FileDevice({ path, clock })).toThrow(/in use/);
    expect(await readers[0]!.write(0, Buffer.from('x'), false)).toEqual({ ok: false, errno: Errno.EPERM });
    for (const reader of readers) await reader.close();
  });

  it('refuses what is no file', () => {
    expect(() => new FileDevice({ path: folder, clock })).toThrow(/a regular file or a block device is expected/);
    expect(() => new FileDevice({ path: '/dev/null', clock })).toThrow(/a regular file or a block device is expected/);
    expect(() => new FileDevice({ path: join(folder, 'none'), clock })).toThrow(/none: cannot be opened: ENOENT/);
  });

  it('keeps the file thin, tells its holes and frees what is trimmed', async () => {
    const device = new FileDevice({ path, clock });
    await device.write(16 * mebibyte, Buffer.alloc(mebibyte, 7), false);
    await device.flush();
    const reply = await device.status(0, device.sizeBytes, 100);
    expect(reply).toMatchObject({
      ok: true,
      extents: [
        { length: 16 * mebibyte, hole: true, zero: true },
        { length: mebibyte, hole: false, zero: false },
        { length: 47 * mebibyte, hole: true, zero: true },
      ],
    });
    expect(statSync(path).blocks * 512).toBeLessThan(2 * mebibyte);
    await device.trim(0, device.sizeBytes, true);
    expect(statSync(path).blocks * 512).toBeLessThan(65536);
    expect(bytesOf(await device.read(16 * mebibyte, 10))).toEqual(Buffer.alloc(10));
    await device.close();
  });

  it('answers EIO, not zeroes, when the file was cut behind its back', async () => {
    const device = new FileDevice({ path, clock });
    truncateSync(path, mebibyte);
    expect(await device.read(2 * mebibyte, 4096)).toEqual({ ok: false, errno: Errno.EIO });
    await device.close();
  });

  it('refuses everything once it is closed', async () => {
    const device = new FileDevice({ path, clock });
    await device.close();
    await device.close();
    expect(await device.read(0, 1)).toEqual({ ok: false, errno: Errno.EBADF });
    expect(await device.write(0, Buffer.from('x'), true)).toEqual({ ok: false, errno: Errno.EBADF });
  });
});
