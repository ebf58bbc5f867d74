/** What a server serves: its configuration, and what clients have had made and changed. Pure. */
import type { DeviceConfig } from '../../config/device-config.ts';
import type { ServerConfig } from '../../config/server-config.ts';
import type { Limits } from '../../device/limits.ts';
import type { AskedLimits } from '../../rsio/administration.ts';
import type { Change, Ledger, MadeDevice } from './ledger.ts';
import type { Storage } from './storage.ts';

export interface Effective {
  readonly config: ServerConfig;
  /** What was made and cannot be served. */
  readonly problems: readonly string[];
}

export function effective(config: ServerConfig, ledger: Ledger, storage: (pool: string) => Storage | null): Effective {
  const problems: string[] = [];
  const names = new Set(config.devices.map(({ name }) => name));
  const made: DeviceConfig[] = [];
  for (const device of ledger.devices) {
    if (device.state === 'making' || device.state === 'removing') continue;
    const pool = config.pools.find(({ name }) => name === device.pool);
    const place = storage(device.pool);
    const told = `device ${device.name}, made by ${device.madeBy}, is not served:`;
    if (names.has(device.name)) problems.push(`${told} the configuration has another one of that name`);
    else if (!pool || !place) problems.push(`${told} the configuration has no [pool ${device.pool}] any more`);
    else made.push(madeConfig(device, place, pool.capacityBytes === undefined));
  }
  const devices = [...config.devices, ...made].map((device) => changed(device, ledger.changeOf(device.name)));
  return { config: { ...config, devices }, problems };
}

/** Growing it would go round the pool's capacity. */
function madeConfig(device: MadeDevice, place: Storage, mayResize: boolean): DeviceConfig {
  const { name, description, clients } = device;
  const free = { limits: {}, clientLimits: {}, isMember: false, isPaused: false };
  return { name, source: place.source(device), description, clients, mayResize, ...free };
}

function changed(device: DeviceConfig, { limits = {}, isPaused }: Change): DeviceConfig {
  return {
    ...device,
    limits: lower(device.limits, {
      bytesPerSecond: limits.bytesPerSecond,
      operationsPerSecond: limits.operationsPerSecond,
    }),
    clientLimits: lower(device.clientLimits, {
      bytesPerSecond: limits.clientBytesPerSecond,
      operationsPerSecond: limits.clientOperationsPerSecond,
    }),
    isPaused: isPaused ?? device.isPaused,
  };
}

type Asked = { [K in 'bytesPerSecond' | 'operationsPerSecond']: AskedLimits[K] };

/** The configuration has the last word: nobody gets more than it says. A lower rate has no larger burst. */
function lower(own: Limits, asked: Asked): Limits {
  const limits: { -readonly [K in keyof Limits]: Limits[K] } = { ...own };
  if (asked.bytesPerSecond !== undefined && asked.bytesPerSecond < (own.bytesPerSecond ?? Infinity)) {
    limits.bytesPerSecond = asked.bytesPerSecond;
    delete limits.burstBytes;
  }
  if (asked.operationsPerSecond !== undefined && asked.operationsPerSecond < (own.operationsPerSecond ?? Infinity)) {
    limits.operationsPerSecond = asked.operationsPerSecond;
    delete limits.burstOperations;
  }
  return limits;
}
