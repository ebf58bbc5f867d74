/** Where a brick is: given by the volfile, or asked of glusterd on its host. */
import type { Clock } from '@mortar/core';
import { type Address, defaultManagementPort, ManagementClient, type TransportPort } from '@mortar/rpc';

export interface Whereabouts {
  host: string;
  /** 0: ask. */
  port: number;
  path: string;
  subvolume: string;
}

/** What `portmap.brickPort {brick}` answers. */
interface BrickPort {
  port: number;
  socketPath: string;
  online: boolean;
}

const askTimeoutMs = 10_000;

function readBrickPort(value: unknown): BrickPort {
  const { port, socketPath, online } = (value ?? {}) as Record<string, unknown>;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error('glusterd answered without a port');
  return { port, socketPath: typeof socketPath === 'string' ? socketPath : '', online: online !== false };
}

async function ask(where: Whereabouts, port: TransportPort, clock: Clock): Promise<BrickPort> {
  const address: Address = { kind: 'tcp', host: where.host, port: port.managementPort ?? defaultManagementPort };
  const client = await ManagementClient.connect(port.transport, address, {
    clock,
    program: 'glusterfs',
    processId: port.processId,
    timeoutMs: askTimeoutMs,
  });
  try {
    return readBrickPort(await client.call('portmap.brickPort', { brick: where.subvolume }));
  } finally {
    client.close();
  }
}

/** `avoidSocket`: the unix socket did not work the last time. */
export async function locate(
  where: Whereabouts,
  port: TransportPort,
  clock: Clock,
  avoidSocket: boolean,
): Promise<Address> {
  if (where.path !== '') return { kind: 'unix', path: where.path };
  if (where.port !== 0) return { kind: 'tcp', host: where.host, port: where.port };
  const { port: brickPort, socketPath, online } = await ask(where, port, clock);
  if (!online) throw new Error(`brick ${where.host}:${where.subvolume} is not running`);
  const useSocket = socketPath !== '' && !avoidSocket && port.isLocalHost(where.host) && port.socketExists(socketPath);
  if (useSocket) return { kind: 'unix', path: socketPath };
  if (brickPort === 0) throw new Error(`brick ${where.host}:${where.subvolume} has no port`);
  return { kind: 'tcp', host: where.host, port: brickPort };
}
