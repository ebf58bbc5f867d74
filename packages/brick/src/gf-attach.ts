/** gf_attach: asks a running brick to stop itself. `gf_attach -d SOCKET BRICKPATH`. */
import { ManagementClient } from '@mortar/rpc/management/client.ts';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';

const usage =
  'usage: gf_attach -d SOCKET BRICKPATH\n  asks the brick process that listens on SOCKET to stop serving BRICKPATH\n';

async function main(args: readonly string[]): Promise<number> {
  const [flag, socket, brick, ...more] = args;
  if (flag !== '-d' || socket === undefined || brick === undefined || more.length > 0) {
    process.stderr.write(
      flag === '-d' ? usage : `gf_attach: attaching a brick to a running process is not supported\n${usage}`,
    );
    return 1;
  }
  try {
    const client = await ManagementClient.connect(
      unixTransport(),
      { kind: 'unix', path: socket },
      { clock: nodeClock, program: 'gf_attach', timeoutMs: 10_000 },
    );
    try {
      await client.call('process.stop', { brick });
    } finally {
      client.close();
    }
    return 0;
  } catch (error) {
    process.stderr.write(`gf_attach: ${brick} was not detached: ${(error as Error).message}\n`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
