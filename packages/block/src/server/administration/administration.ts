/**
 * What clients that the configuration names as administrators have the server do: make, remove, rename, limit and pause devices.
 * One change at a time, the reading of a changed configuration among them.
 */
import { Errno, type Log } from '@mortar/core';
import type { PoolConfig } from '../../config/device-config.ts';
import type { ServerConfig } from '../../config/server-config.ts';
import type { Client } from '../../nbd/exports.ts';
import type { Administered, AdministrationReply, Administration as Asked } from '../../rsio/administration.ts';
import type { DeviceStore } from '../device-store.ts';
import { effective } from './effective.ts';
import { devicesMax, type Ledger, type MadeDevice } from './ledger.ts';
import { Refusal } from './refusal.ts';
import { type Storage, storageOf } from './storage.ts';

export interface AdministrationOptions {
  readonly store: DeviceStore;
  readonly ledger: Ledger;
  readonly log: Log;
  /** Ends the connections of a device that is not served any more. */
  readonly release: (device: string) => Promise<void>;
}

type AskedOf<A extends Asked['action']> = Extract<Asked, { action: A }>;
const origin = 'administration';

export class Administration {
  readonly #options: AdministrationOptions;
  #config: ServerConfig | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: AdministrationOptions) {
    this.#options = options;
  }

  /** How many are served. */
  get devices(): number {
    return this.#options.store.devices.length;
  }

  /** Serves what a configuration and the ledger say; what cannot be served is told. */
  configure(config: ServerConfig): Promise<readonly Error[]> {
    return this.#inTurn(async () => {
      this.#config = config;
      const { log, ledger } = this.#options;
      for (const { name, state } of ledger.devices) {
        if (state === 'ready') continue;
        try {
          await this.#recover(name);
        } catch (error) {
          log.write('ERROR', origin, `device ${name} stays half done: ${(error as Error).message}`);
        }
      }
      return this.#serve();
    });
  }

  /** Never throws. */
  run(client: Client, asked: Asked): Promise<Administered> {
    const { log } = this.#options;
    return this.#inTurn(async () => {
      const { identity } = client;
      const what = asked.action === 'pools' ? 'pools' : `${asked.action} ${asked.name}`;
      try {
        const { server, administrators } = this.#now;
        if (identity === null || !administrators.includes(identity))
          throw new Refusal(
            Errno.EPERM,
            `'${identity}' is no administrator of server ${server.name}: 'administrators' in its [server] section names those`,
          );
        const reply = await this.#do(client, identity, asked);
        if (asked.action !== 'pools') log.write('INFO', origin, `${identity} at ${client.address}: ${what}`);
        return { errno: 0, reply };
      } catch (error) {
        const { message } = error as Error;
        log.write('WARNING', origin, `${identity} at ${client.address}: ${what} is refused: ${message}`);
        const errno = error instanceof Refusal ? error.errno : Errno.EIO;
        return { errno, reply: { text: message.slice(0, 4000), pools: [] } };
      }
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  get #now(): ServerConfig {
    if (!this.#config) throw new Refusal(Errno.EAGAIN, 'the server is just being started');
    return this.#config;
  }

  async #serve(): Promise<readonly Error[]> {
    const { store, ledger, log, release } = this.#options;
    const { config, problems } = effective(this.#now, ledger, (pool) => this.#storage(pool));
    for (const problem of problems) log.write('ERROR', origin, problem);
    return store.configure(config, release);
  }

  #storage(pool: string): Storage | null {
    const { namespace, server, pools } = this.#now;
    const config = pools.find(({ name }) => name === pool);
    return config ? storageOf(config, this.#options.store.volumes, `${namespace.name}/${server.name}`) : null;
  }

  async #do(client: Client, identity: string, asked: Asked): Promise<AdministrationReply> {
    const { ledger } = this.#options;
    switch (asked.action) {
      case 'pools':
        return { text: '', pools: this.#now.pools.map((pool) => this.#told(pool)) };
      case 'create':
        await this.#create(identity, asked);
        break;
      case 'delete':
        await this.#delete(await this.#made(asked.name, client), asked.keep);
        break;
      case 'rename':
        await this.#rename(await this.#made(asked.name, client), asked.to);
        break;
      case 'limit':
        this.#visible(asked.name, client);
        ledger.change((_devices, changes) => {
          const { limits: _before, ...rest } = ledger.changeOf(asked.name);
          const isNone = Object.keys(asked.limits).length === 0;
          changes.set(asked.name, isNone ? rest : { ...rest, limits: asked.limits });
        });
        await this.#serve();
        break;
      default: {
        this.#visible(asked.name, client);
        const { isPaused: _before, ...rest } = ledger.changeOf(asked.name);
        const next = asked.action === 'pause' ? { ...rest, isPaused: true as const } : rest;
        ledger.change((_devices, changes) => changes.set(asked.name, next));
        await this.#serve();
      }
    }
    return { text: '', pools: [] };
  }

  #told({ name, place, capacityBytes }: PoolConfig): AdministrationReply['pools'][number] {
    const devices = this.#options.ledger.devices.filter(({ pool }) => pool === name);
    const usedBytes = devices.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const told = { name, type: place.type, devices: devices.length, usedBytes };
    return capacityBytes === undefined ? told : { ...told, capacityBytes };
  }

  /** Who may not use a device is told that there is none. */
  #visible(name: string, client: Client): void {
    const served = this.#options.store.devices.find((one) => one.name === name);
    if (!served?.admits(client)) throw new Refusal(Errno.ENOENT, `no device '${name}' is served to this client`);
  }

  /** A device that was made by a client, whether it could be opened or not. */
  async #made(name: string, client: Client): Promise<MadeDevice> {
    const { ledger } = this.#options;
    const device = ledger.device(name);
    if (!device) {
      this.#visible(name, client);
      const file = `it is in the configuration of server ${this.#now.server.name}, which clients do not change`;
      throw new Refusal(Errno.EROFS, `${file}: it has to be changed there`);
    }
    if (device.clients && !device.clients.includes(client.identity ?? ''))
      throw new Refusal(Errno.ENOENT, `no device '${name}' is served to this client`);
    if (device.state === 'ready') return device;
    await this.#recover(name);
    const recovered = ledger.device(name);
    if (!recovered) throw new Refusal(Errno.ENOENT, `device '${name}' was half done, and is gone now`);
    return recovered;
  }

  #pool(named: string | undefined): PoolConfig {
    const { pools, server } = this.#now;
    if (named === undefined && pools.length > 1)
      throw new Refusal(Errno.EINVAL, `a pool is to be named: ${pools.map(({ name }) => name).join(', ')}`);
    const found = named === undefined ? pools[0] : pools.find(({ name }) => name === named);
    if (found) return found;
    const why = named === undefined ? 'no pool' : `no pool '${named}'`;
    throw new Refusal(
      Errno.ENOENT,
      `server ${server.name} has ${why}: [pool NAME] sections of its configuration are pools`,
    );
  }

  #free(name: string): void {
    const { ledger } = this.#options;
    const isTaken = ledger.device(name) || this.#now.devices.some((device) => device.name === name);
    if (isTaken) throw new Refusal(Errno.EEXIST, `there is a device '${name}' already`);
  }

  async #create(identity: string, asked: AskedOf<'create'>): Promise<void> {
    const { ledger } = this.#options;
    const { name, description } = asked;
    const pool = this.#pool(asked.pool);
    const storage = this.#storage(pool.name)!;
    if (ledger.device(name) && ledger.device(name)?.state !== 'ready') await this.#recover(name);
    this.#free(name);
    if (ledger.devices.length >= devicesMax)
      throw new Refusal(Errno.ENOSPC, `clients have had ${devicesMax} devices made: the most that a server keeps`);
    const found = await storage.find(name);
    if (asked.sizeBytes === undefined && !found)
      throw new Refusal(Errno.ENOENT, `pool ${pool.name} has no '${name}': to make it, a size is needed`);
    if (asked.sizeBytes !== undefined && found)
      throw new Refusal(
        Errno.EEXIST,
        `pool ${pool.name} has a '${name}' already: without a size it is offered as it is`,
      );
    const sizeBytes = found?.sizeBytes ?? asked.sizeBytes!;
    if (sizeBytes === 0) throw new Refusal(Errno.EINVAL, `'${name}' in pool ${pool.name} is empty`);
    const { usedBytes } = this.#told(pool);
    if (pool.capacityBytes !== undefined && usedBytes + sizeBytes > pool.capacityBytes)
      throw new Refusal(Errno.ENOSPC, `pool ${pool.name} has ${pool.capacityBytes - usedBytes} bytes left`);
    // Who made it can take it away again.
    const clients = asked.clients && [...new Set([...asked.clients, identity])];
    const own = clients ? { clients } : {};
    const making: MadeDevice = {
      name,
      pool: pool.name,
      sizeBytes,
      description,
      madeBy: identity,
      id: '',
      state: 'making',
      ...own,
    };
    ledger.change((devices) => devices.set(name, making));
    let made = found;
    try {
      made ??= await storage.make(name, sizeBytes);
    } catch (error) {
      ledger.change((devices) => devices.delete(name));
      throw error;
    }
    const { id } = made;
    ledger.change((devices) => devices.set(name, { ...making, id, state: 'ready' }));
    await this.#serveNow(name);
  }

  async #serveNow(name: string): Promise<void> {
    const failures = await this.#serve();
    const failed = failures.find(({ message }) => message.startsWith(`device ${name}:`));
    if (failed) throw new Refusal(Errno.EIO, `it is there, but cannot be served: ${failed.message}`);
  }

  /** Nobody finds it any more. */
  async #withdraw(name: string, what: string): Promise<void> {
    const served = this.#options.store.devices.find((one) => one.name === name);
    if (!served) return;
    if (served.users > 0) {
      const paused = served.device.isPaused ? ', and paused' : '';
      const todo = `(${served.users} users${paused}): it has to be detached everywhere before it can be ${what}`;
      throw new Refusal(Errno.EBUSY, `'${name}' is open ${todo}`);
    }
    await this.#options.store.withdraw(name);
  }

  async #delete(device: MadeDevice, keep: boolean): Promise<void> {
    const { ledger } = this.#options;
    const { name, pool } = device;
    const storage = this.#storage(pool);
    if (!storage && !keep)
      throw new Refusal(
        Errno.ENOENT,
        `the configuration has no [pool ${pool}] any more: only --keep takes '${name}' away`,
      );
    await this.#withdraw(name, 'removed');
    try {
      if (!keep) {
        ledger.change((devices) => devices.set(name, { ...device, state: 'removing' }));
        await storage!.remove(name, device.id);
      }
      ledger.change((devices, changes) => {
        devices.delete(name);
        changes.delete(name);
      });
    } catch (error) {
      // As it was, if nothing of it has gone.
      const found = await storage?.find(name).catch(() => null);
      if (found && found.id === device.id) ledger.change((devices) => devices.set(name, { ...device, state: 'ready' }));
      throw error;
    } finally {
      await this.#serve();
    }
  }

  async #rename(device: MadeDevice, to: string): Promise<void> {
    const { ledger } = this.#options;
    const { name, pool } = device;
    const storage = this.#storage(pool);
    if (!storage) throw new Refusal(Errno.ENOENT, `the configuration has no [pool ${pool}] any more`);
    if (to === name) return;
    this.#free(to);
    // A file of that name that no device uses is not replaced; on a volume it may be this one, renamed by another server.
    const other = await storage.find(to);
    if (other && (other.id === '' || other.id !== device.id))
      throw new Refusal(Errno.EEXIST, `pool ${pool} has a '${to}' already`);
    await this.#withdraw(name, 'renamed');
    try {
      ledger.change((devices) => devices.set(name, { ...device, state: 'renaming', to }));
      await this.#finishRename(name, storage);
    } catch (error) {
      const isOld = await storage.find(name).catch(() => null);
      if (isOld && ledger.device(name)) ledger.change((devices) => devices.set(name, device));
      throw error;
    } finally {
      await this.#serve();
    }
  }

  async #finishRename(name: string, storage: Storage): Promise<void> {
    const { ledger } = this.#options;
    const { to, ...device } = ledger.device(name)!;
    await storage.rename(name, to!, device.id);
    ledger.change((devices, changes) => {
      devices.delete(name);
      devices.set(to!, { ...device, name: to!, state: 'ready' });
      changes.set(to!, ledger.changeOf(name));
      changes.delete(name);
    });
  }

  /** What a crash, or a volume that was away, has cut short. */
  async #recover(name: string): Promise<void> {
    const { ledger, log } = this.#options;
    const device = ledger.device(name)!;
    const storage = this.#storage(device.pool);
    if (!storage) throw new Refusal(Errno.ENOENT, `the configuration has no [pool ${device.pool}] any more`);
    if (device.state === 'renaming') await this.#finishRename(name, storage);
    else if (device.state === 'removing') {
      await storage.remove(name, device.id);
      // The next one of that name begins without limits and pauses of this one.
      ledger.change((devices, changes) => {
        devices.delete(name);
        changes.delete(name);
      });
    } else {
      const found = await storage.find(name);
      const isWhole = found?.sizeBytes === device.sizeBytes;
      if (found && !isWhole)
        log.write('WARNING', origin, `pool ${device.pool}: '${name}' was left half made; it is not touched`);
      ledger.change((devices) => {
        if (isWhole) devices.set(name, { ...device, id: found!.id, state: 'ready' });
        else devices.delete(name);
      });
    }
    log.write('INFO', origin, `device ${name}: ${device.state} was finished`);
  }
}
