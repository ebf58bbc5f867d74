import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { nullMetrics } from '@mortar/rpc/null-ports.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../config/server-config.ts';
import { quietLog } from '../rsio/rsio-rig.ts';
import { DeviceStore } from './device-store.ts';

const sizeBytes = 2 ** 20;
let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-make-device-'));
  path = join(folder, 'db');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function newStore(): DeviceStore {
  const random = { bytes: () => new Uint8Array(), integer: () => 0 };
  return new DeviceStore({ clock: new SystemClock(), log: quietLog, metrics: nullMetrics, random });
}

/** Serves it; the size as it is served, or why it is not. */
async function served(store: DeviceStore): Promise<number | string> {
  const device = `[device db]\npath=${path}\nsize=${sizeBytes}\ncreate=yes\n`;
  const config = parseServerConfig(`[namespace osl]\n[server big-9]\n${device}`, 'f');
  const [failure] = await store.configure(config, async () => undefined);
  return failure?.message ?? store.devices[0]!.device.sizeBytes;
}

async function servedOnce(): Promise<number | string> {
  const store = newStore();
  const size = await served(store);
  await store.close();
  return size;
}

describe('a file that is made for a device', () => {
  it('has its size, also when a crash has left it empty', async () => {
    expect(await servedOnce()).toBe(sizeBytes);
    truncateSync(path, 0);
    expect(await servedOnce()).toBe(sizeBytes);
    expect(statSync(path).size).toBe(sizeBytes);
  });

  it('stays as it is when there is one', async () => {
    writeFileSync(path, 'kept');
    expect(await servedOnce()).toBe(4);
    expect(readFileSync(path, 'utf8')).toBe('kept');
  });

  it('is left alone while somebody else has it', async () => {
    writeFileSync(path, '');
    const other = newStore();
    const config = parseServerConfig(`[namespace osl]\n[server big-8]\n[device db]\npath=${path}\n`, 'f');
    expect(await other.configure(config, async () => undefined)).toEqual([]);
    expect(await servedOnce()).toBe(`device db: ${path}: it is in use: another server or program has locked it`);
    expect(statSync(path).size).toBe(0);
    await other.close();
  });
});
