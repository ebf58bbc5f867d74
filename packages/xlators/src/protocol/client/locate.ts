/** Where a brick is: given by the volfile, or asked of glusterd on its host. */
import { type Clock, Errno } from '@mortar/core';
import {
  type Address,
  defaultManagementPort,
  ManagementClient,
  RefusedError,
  serverGoneCode,
  type TlsSettings,
  type TransportPort,
} from '@mortar/rpc';

export interface Whereabouts {
  host: string;
  /** 0: ask. */
  port: number;
  path: string;
  subvolume: string;
  tls?: TlsSettings;
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
  const tls = port.managementTls && { tls: port.managementTls };
  const address: Address = {
    kind: 'tcp',
    host: where.host,
    port: port.managementPort ?? defaultManagementPort,
    ...tls,
  };
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

/** A brick started by hand may listen where glusterd would: it refuses to be asked, and can be connected to at once. */
async function askOrBrick(where: Whereabouts, port: TransportPort, clock: Clock): Promise<BrickPort | 'brick'> {
  try {
    return await ask(where, port, clock);
  } catch (error) {
    if (error instanceof RefusedError && error.errno === Errno.EPROTO) return 'brick';
    throw error;
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
  const tls = where.tls && { tls: where.tls };
  if (where.port !== 0) return { kind: 'tcp', host: where.host, port: where.port, ...tls };
  const found = await askOrBrick(where, port, clock);
  if (found === 'brick')
    return { kind: 'tcp', host: where.host, port: port.managementPort ?? defaultManagementPort, ...tls };
  const { port: brickPort, socketPath, online } = found;
  if (!online) {
    const text = `brick ${where.host}:${where.subvolume} is not running`;
    throw Object.assign(new Error(text), { code: serverGoneCode });
  }
  const useSocket = socketPath !== '' && !avoidSocket && port.isLocalHost(where.host) && port.socketExists(socketPath);
  if (useSocket) return { kind: 'unix', path: socketPath };
  if (brickPort === 0) throw new Error(`brick ${where.host}:${where.subvolume} has no port`);
  return { kind: 'tcp', host: where.host, port: brickPort, ...tls };
}
