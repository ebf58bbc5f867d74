/** The connection to glusterd; loaded when a command is sent. */
import { ManagementClient } from '@mortar/rpc/management/client.ts';
import type { Address } from '@mortar/rpc/stream.ts';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { secureAccess } from '@mortar/rpc/transports/secure-access.ts';
import { tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import type { Flags } from './flags.ts';
import { type Caller, ConnectionFailed } from './session.ts';

const managementPort = 24007;

export async function connect(flags: Flags): Promise<Caller> {
  const remote = flags.remoteHost;
  const address: Address =
    remote === null ? { kind: 'unix', path: flags.socketPath } : { kind: 'tcp', host: remote, port: managementPort };
  try {
    const tls = remote === null ? undefined : secureAccess();
    const transport = remote === null ? unixTransport() : tcpTransport(tls ? { tls } : {});
    return await ManagementClient.connect(transport, address, {
      clock: nodeClock,
      program: 'gluster',
      timeoutMs: flags.timeoutSeconds * 1000,
    });
  } catch (error) {
    throw new ConnectionFailed(`glusterd does not answer: ${(error as Error).message}`, { cause: error });
  }
}
