import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, Errno, type Random } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { nullMetrics } from '@mortar/rpc/null-ports.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../config/server-config.ts';
import type { Client } from '../../nbd/exports.ts';
import type { Administration as Asked } from '../../rsio/administration.ts';
import { quietLog } from '../../rsio/rsio-rig.ts';
import { createDevice, findDevice } from '../../volume/catalog.ts';
import type { VolumeGraph } from '../../volume/graph.ts';
import { VolumeDevice } from '../../volume/volume-device.ts';
import { connectGraph } from '../../volume/volume-graph.ts';
import { DeviceStore } from '../device-store.ts';
import { Administration } from './administration.ts';
import { Ledger } from './ledger.ts';
import { VolumeStorage } from './volume-storage.ts';

const clock: Clock = new SystemClock();
const random: Random = {
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  integer: (below) => Math.floor(Math.random() * below),
};
const big: Client = { address: '10.0.0.2:1', identity: 'big-2', isLocalRoot: false };
const venus: Client = { ...big, identity: 'venus' };
const mars: Client = { ...big, identity: 'mars' };

let folder = '';
const ends: (() => Promise<void>)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-admin-'));
  mkdirSync(join(folder, 'pool'));
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
});

const ledgerFile = () => join(folder, 'rssrvcfg.made');
const inPool = (name: string) => join(folder, 'pool', name);

function configOf(more = ''): string {
  return (
    `[namespace osl]\n[server big-9]\nadministrators = big-2 venus\n[clients]\nbig-2 0xbig2\nvenus 0xvenus\nmars 0xmars\n` +
    `[pool disks]\npath = ${folder}/pool\ncapacity = 10m\n[device fixed]\ntype=memory\nsize=1m\nbytes-per-second=1m\nburst-bytes=4m\n${more}`
  );
}

async function rig(more = '') {
  const store = new DeviceStore({ clock, log: quietLog, metrics: nullMetrics, random });
  const administration = new Administration({
    store,
    ledger: Ledger.read(ledgerFile()),
    log: quietLog,
    release: async () => undefined,
  });
  const failures = await administration.configure(parseServerConfig(configOf(more), 'f'));
  ends.push(() => store.close());
  const ask = async (asked: Asked, client = big) => {
    const { errno, reply } = await administration.run(client, asked);
    return errno === 0 ? 'done' : `${errno} ${reply.text}`;
  };
  const names = (client = big) => store.list(client).map(({ name }) => name);
  return { store, administration, ask, names, failures };
}

const create = (name: string, sizeBytes?: number, more: object = {}): Asked => ({
  action: 'create',
  name,
  description: '',
  ...(sizeBytes === undefined ? {} : { sizeBytes }),
  ...more,
});
const remove = (name: string, keep = false): Asked => ({ action: 'delete', name, keep });
const rename = (name: string, to: string): Asked => ({ action: 'rename', name, to });

describe('what clients have a server do', () => {
  it('is for administrators only', async () => {
    const { ask, names } = await rig();
    const text = `${Errno.EPERM} 'mars' is no administrator of server big-9: 'administrators' in its [server] section names those`;
    expect(await ask(create('a', 4096), mars)).toBe(text);
    expect(await ask({ action: 'pools' }, mars)).toBe(text);
    expect(await ask(create('a', 4096), { ...big, identity: null })).toMatch(/is no administrator/);
    expect(names()).toEqual(['fixed']);
    expect(existsSync(ledgerFile())).toBe(false);
  });

  it('makes, renames and removes devices, and they are there again after a restart', async () => {
    const first = await rig();
    expect(await first.ask(create('a', 2 ** 20, { description: 'of big-2' }))).toBe('done');
    expect(first.names()).toEqual(['fixed', 'a']);
    expect(statSync(inPool('a')).size).toBe(2 ** 20);
    await first.store.open('a', big)!.device.write(4096, Buffer.from('kept'), true);
    first.store.devices.find(({ name }) => name === 'a')!.leave();
    expect(await first.ask(rename('a', 'b'))).toBe('done');
    await first.store.close();
    const second = await rig();
    expect(second.names()).toEqual(['fixed', 'b']);
    const opened = second.store.open('b', big)!;
    const read = await opened.device.read(4096, 4);
    expect(read.ok && Buffer.concat(read.pieces).toString()).toBe('kept');
    expect(opened.description).toBe('of big-2');
    opened.release();
    expect(await second.ask(remove('b'))).toBe('done');
    expect(second.names()).toEqual(['fixed']);
    expect(existsSync(inPool('b'))).toBe(false);
    expect(Ledger.read(ledgerFile()).devices).toEqual([]);
  });

  it('keeps a removed device in the pool when asked to, and offers it again', async () => {
    const { ask, names } = await rig();
    await ask(create('a', 2 ** 20));
    expect(await ask(remove('a', true))).toBe('done');
    expect(names()).toEqual(['fixed']);
    expect(await ask(create('a', 2 ** 20))).toBe(
      `${Errno.EEXIST} pool disks has a 'a' already: without a size it is offered as it is`,
    );
    expect(await ask(create('a'))).toBe('done');
    expect(names()).toEqual(['fixed', 'a']);
    expect(await ask(create('none'))).toBe(`${Errno.ENOENT} pool disks has no 'none': to make it, a size is needed`);
  });

  it('refuses what is open, taken, full, fixed or not there', async () => {
    const { store, ask } = await rig();
    await ask(create('a', 2 ** 20));
    await ask(create('b', 2 ** 20));
    const opened = store.open('a', venus)!;
    expect(await ask(remove('a'))).toMatch(
      /^16 'a' is open \(1 users\): it has to be detached everywhere before it can be removed$/,
    );
    expect(await ask(rename('a', 'c'))).toMatch(/^16 'a' is open .* before it can be renamed$/);
    opened.release();
    expect(await ask(rename('a', 'b'))).toBe(`${Errno.EEXIST} there is a device 'b' already`);
    writeFileSync(inPool('stray'), 'x');
    expect(await ask(rename('a', 'stray'))).toBe(`${Errno.EEXIST} pool disks has a 'stray' already`);
    expect(readFileSync(inPool('stray'), 'utf8')).toBe('x');
    expect(await ask(create('fixed', 4096))).toBe(`${Errno.EEXIST} there is a device 'fixed' already`);
    expect(await ask(create('c', 9 * 2 ** 20))).toBe(`${Errno.ENOSPC} pool disks has ${8 * 2 ** 20} bytes left`);
    expect(await ask(create('c', 4096, { pool: 'tape' }))).toMatch(/no pool 'tape'/);
    expect(await ask(remove('fixed'))).toBe(
      `${Errno.EROFS} it is in the configuration of server big-9, which clients do not change: it has to be changed there`,
    );
    expect(await ask(remove('none'))).toBe(`${Errno.ENOENT} no device 'none' is served to this client`);
    mkdirSync(inPool('folder'));
    expect(await ask(create('folder'))).toMatch(/is no plain file/);
  });

  it('tells nobody of devices that are not his, and lets him who made one keep it', async () => {
    const { ask, names } = await rig();
    expect(await ask(create('a', 4096, { clients: ['mars'] }))).toBe('done');
    expect([names(big), names(venus), names(mars)]).toEqual([['fixed', 'a'], ['fixed'], ['fixed', 'a']]);
    for (const asked of [remove('a'), rename('a', 'z'), { action: 'pause', name: 'a' } as const])
      expect(await ask(asked, venus)).toBe(`${Errno.ENOENT} no device 'a' is served to this client`);
    expect(await ask(remove('a'), big)).toBe('done');
  });

  it('limits who has it open, never beyond the configuration, and over a restart', async () => {
    const { store, ask } = await rig();
    const { device, release } = store.open('fixed', big)!;
    const served = () => store.devices.find(({ name }) => name === 'fixed')!;
    expect(
      await ask({ action: 'limit', name: 'fixed', limits: { bytesPerSecond: 2 ** 30, operationsPerSecond: 1 } }),
    ).toBe('done');
    expect(served().config.limits).toEqual({
      bytesPerSecond: 2 ** 20,
      burstBytes: 4 * 2 ** 20,
      operationsPerSecond: 1,
    });
    await device.read(0, 512);
    const second = device.read(0, 512);
    expect(second).toBeInstanceOf(Promise);
    expect(await ask({ action: 'limit', name: 'fixed', limits: { bytesPerSecond: 4096 } })).toBe('done');
    expect((await second).ok).toBe(true);
    expect(served().config.limits).toEqual({ bytesPerSecond: 4096 });
    release();
    await store.close();
    const again = await rig();
    expect(again.store.devices[0]!.config.limits).toEqual({ bytesPerSecond: 4096 });
    await again.ask({ action: 'limit', name: 'fixed', limits: {} });
    expect(again.store.devices[0]!.config.limits).toEqual({ bytesPerSecond: 2 ** 20, burstBytes: 4 * 2 ** 20 });
    expect(JSON.parse(readFileSync(ledgerFile(), 'utf8'))).toMatchObject({ changes: [] });
  });

  it('pauses a device that is in use, over a restart, and lets it go on', async () => {
    const { store, ask, administration } = await rig();
    const { device, release } = store.open('fixed', big)!;
    expect(await ask({ action: 'pause', name: 'fixed' })).toBe('done');
    let isDone = false;
    const write = Promise.resolve(device.write(0, Buffer.from('x'), false)).then((reply) => {
      isDone = true;
      return reply;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isDone).toBe(false);
    // The configuration that is read again does not end a pause.
    await administration.configure(parseServerConfig(configOf(), 'f'));
    expect(store.find('fixed', big)!.isPaused).toBe(true);
    expect(await ask({ action: 'resume', name: 'fixed' })).toBe('done');
    expect(await write).toEqual({ ok: true });
    release();
    await ask({ action: 'pause', name: 'fixed' });
    await store.close();
    const again = await rig();
    expect(again.store.devices[0]!.device.isPaused).toBe(true);
  });

  it('finishes at the next start what a crash has cut short', async () => {
    const device = { pool: 'disks', sizeBytes: 4096, description: '', madeBy: 'big-2', id: '' };
    const devices = [
      { ...device, name: 'whole', state: 'making' },
      { ...device, name: 'begun', state: 'making' },
      { ...device, name: 'half', state: 'making' },
      { ...device, name: 'gone', state: 'removing' },
      { ...device, name: 'old', state: 'renaming', to: 'new' },
      { ...device, name: 'old2', state: 'renaming', to: 'new2' },
    ];
    writeFileSync(
      ledgerFile(),
      JSON.stringify({
        version: 1,
        devices,
        changes: ['old', 'gone'].map((name) => ({ name, change: { isPaused: true } })),
      }),
    );
    for (const name of ['whole', 'gone', 'old', 'new2']) writeFileSync(inPool(name), Buffer.alloc(4096));
    writeFileSync(inPool('half'), 'not ours');
    const { names, store, ask } = await rig();
    expect(names()).toEqual(['fixed', 'whole', 'new', 'new2']);
    expect(store.find('new', big)!.isPaused).toBe(true);
    expect(existsSync(inPool('gone'))).toBe(false);
    expect(readFileSync(inPool('half'), 'utf8')).toBe('not ours');
    expect(Ledger.read(ledgerFile()).devices.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'whole ready',
      'new ready',
      'new2 ready',
    ]);
    // Another one of that name has nothing of the one that was removed.
    expect(await ask(create('gone', 4096))).toBe('done');
    expect(store.find('gone', big)!.isPaused).toBe(false);
  });

  it('does nothing when it cannot be written down', async () => {
    const { ask, names } = await rig();
    mkdirSync(`${ledgerFile()}.new`);
    expect(await ask(create('a', 4096))).toMatch(
      /where the server keeps what clients have had made, cannot be written/,
    );
    expect(names()).toEqual(['fixed']);
    expect(existsSync(inPool('a'))).toBe(false);
  });

  it('never begins with a ledger that it does not understand', () => {
    writeFileSync(ledgerFile(), '{"version": 2}');
    expect(() => Ledger.read(ledgerFile())).toThrow(/cannot be understood; put it right, or move it away/);
  });

  it('tells what was made and has no place any more', async () => {
    const { ask, administration, names } = await rig();
    await ask(create('a', 4096));
    const text = configOf().replace('[pool disks]', '[pool other]');
    await administration.configure(parseServerConfig(text, 'f'));
    expect(names()).toEqual(['fixed']);
    expect(await ask(remove('a'))).toMatch(/no \[pool disks\] any more: only --keep takes 'a' away/);
    expect(await ask(remove('a', true))).toBe('done');
  });
});

describe('a pool on a volume', () => {
  const brick = `volume files\n    type storage/memory\n    option size 1GB\nend-volume\nvolume locks\n    type features/locks\n    subvolumes files\nend-volume\nvolume guard\n    type features/block\n    subvolumes locks\nend-volume\n`;
  const place = { type: 'volume', volume: 'v', servers: [], shardBytes: 65_536, leaseMs: 400 } as const;

  async function volume(): Promise<{ graph: VolumeGraph; storage: VolumeStorage; held: number[] }> {
    const { graph, close } = await connectGraph({ volfile: { text: brick } }, { clock, random, log: quietLog });
    ends.push(close);
    const held = [0];
    const pool = { open: async () => ({ graph, release: async () => void held[0]!-- }) };
    return { graph, storage: new VolumeStorage(place, pool as never, 'osl/big-9'), held };
  }

  it('has devices that are made, renamed and removed by whichever server comes first', async () => {
    const { storage, graph } = await volume();
    const made = await storage.make('db', 2 ** 20);
    expect(await storage.find('db')).toEqual(made);
    await expect(storage.make('db', 2 ** 20)).rejects.toMatchObject({ errno: Errno.EEXIST });
    await storage.rename('db', 'data', made.id);
    await storage.rename('db', 'data', made.id);
    expect(await storage.find('db')).toBe(null);
    await createDevice(graph, 'db', { sizeBytes: 65_536, shardBytes: 65_536 });
    // The other one of that name is not this one.
    await storage.remove('db', made.id);
    expect((await findDevice(graph, 'db')).ok).toBe(true);
    await storage.remove('data', made.id);
    await storage.remove('data', made.id);
    expect(await storage.find('data')).toBe(null);
  });

  it('does not remove a device that another server has open', async () => {
    const { storage, graph } = await volume();
    const { id } = await storage.make('db', 2 ** 20);
    const found = await findDevice(graph, 'db');
    if (!found.ok) throw new Error('not found');
    const device = new VolumeDevice({ graph, found, owner: 'osl/big-8', leaseMs: 400, patienceMs: 0 });
    await device.write(0, Buffer.from('x'), true);
    await expect(storage.remove('db', id)).rejects.toMatchObject({ errno: Errno.EBUSY });
    expect(await storage.find('db')).not.toBe(null);
    await device.close();
    await storage.remove('db', id);
    expect(await storage.find('db')).toBe(null);
  });
});
