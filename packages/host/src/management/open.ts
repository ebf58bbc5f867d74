/** From a command line to a volfile source. */
import { hostname } from 'node:os';
import type { Address } from '@mortar/rpc';
import type { Host } from '../host.ts';
import { StartError } from '../start-error.ts';
import { socketTransport } from '../transport/port.ts';
import { FileVolfileSource } from '../volfile/file-source.ts';
import type { VolfileSource, VolfileText } from '../volfile/source.ts';
import { dumpWhenAsked } from './dump-notice.ts';
import { ManagementLink } from './link.ts';
import { ManagementVolfileSource } from './volfile-source.ts';

/** Who this process is to bricks and to glusterd: `HOST-PID-time`; sessions add graph and volume. */
export function processId(startedSec: number): string {
  return `${hostname()}-${process.pid}-${startedSec}`;
}

/** `host`, `host:port`, `[v6]:port`, or a socket's path when the transport is unix. */
export function serverAddress(text: string, transport: string, port: number): Address {
  if (transport === 'unix' || text.startsWith('/')) return { kind: 'unix', path: text };
  const match = /^\[([^\]]+)\](?::(\d+))?$/.exec(text) ?? /^([^:]+):(\d+)$/.exec(text);
  return { kind: 'tcp', host: match?.[1] ?? text, port: Number(match?.[2] ?? port) };
}

export interface VolfileOrigin {
  source: VolfileSource;
  /** Absent when the volfile is a file. */
  link?: ManagementLink;
}

export function openVolfile(host: Host): VolfileOrigin {
  const { servers, serverPort, volfileId, volfile, fetchAttempts } = host.args;
  if (servers.length === 0) {
    if (volfile === undefined)
      throw new StartError('ERROR: no volume file: give --volfile, or --volfile-server and --volfile-id', 1);
    return { source: new FileVolfileSource(volfile) };
  }
  if (volfileId === undefined)
    throw new StartError('ERROR: --volfile-server needs --volfile-id, the name of the volume', 1);
  const link = openLink(host);
  // What peers are called by each other is a name or an address, never a socket.
  const source = new ManagementVolfileSource(link, volfileId, (name) => ({
    kind: 'tcp',
    host: name,
    port: serverPort,
  }));
  return { source: fetchAttempts > 1 ? retried(source, fetchAttempts, host) : source, link };
}

/** To the servers of the command line, for the life of the process. */
export function openLink(host: Host): ManagementLink {
  const { servers, serverTransport, serverPort } = host.args;
  const { clock, random, log } = host.services;
  const tls = host.network.managementTls;
  const link = new ManagementLink({
    transport: socketTransport(tls ? { tls } : {}),
    servers: servers.map((text) => serverAddress(text, serverTransport, serverPort)),
    program: host.name,
    clientId: processId(clock.wall().sec),
    clock,
    random,
    log,
  });
  dumpWhenAsked(link, log, () => host.dump());
  host.atEnd('connection to glusterd', () => link.close());
  return link;
}

const betweenAttemptsMs = 1000;

/** `--volfile-max-fetch-attempts`: for a host that boots together with its servers. */
function retried(source: VolfileSource, attempts: number, host: Host): VolfileSource {
  const fetch = async (): Promise<VolfileText> => {
    for (let left = attempts; ; left--) {
      try {
        return await source.fetch();
      } catch (error) {
        if (left <= 1) throw error;
        host.log.write('INFO', host.name, `${(error as Error).message}; ${left - 1} attempts left`);
        await host.services.clock.sleep(betweenAttemptsMs);
      }
    }
  };
  const unheard = () => undefined;
  return {
    fetch,
    watch: (changed) => source.watch(changed),
    onBrickStarted: (started) => source.onBrickStarted?.(started) ?? unheard,
  };
}
