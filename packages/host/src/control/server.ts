/**
 * The process's own management methods, on the unix socket of `-S`: what glusterd, gf_attach and an administrator ask
 * of a running process. Roles register more before it listens.
 */
import { Errno, logLevels } from '@mortar/core';
import { ManagementError, ManagementServer } from '@mortar/rpc';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import { z } from 'zod';
import { ReportError } from '../dump/write-report.ts';
import type { GraphKeeper } from '../graph/keeper.ts';
import type { Host } from '../host.ts';
import { memoryNumbers } from './memory.ts';

/** Time for the answer to leave before the process ends. */
const stopDelayMs = 50;

const anything = z.unknown();

/** Of a process with one graph. */
export function controlServer(host: Host, keeper: GraphKeeper): ManagementServer {
  const server = processControl(host);
  server.method('graph.info', anything, () => graphInfo(keeper));
  server.method('graph.refresh', anything, () => keeper.refresh());
  return server;
}

/** What is asked of a process, whatever graphs it has. */
export function processControl(host: Host): ManagementServer {
  const { clock, log, metrics } = host.services;
  const server = new ManagementServer({
    clock,
    log,
    metrics,
    name: 'control',
    // The socket's permissions are the authorization.
    admit: (peer) =>
      peer.isLocalRoot ? null : { errno: Errno.EACCES, reason: 'only the local root may control a process' },
  });
  server.method('process.info', anything, () => processInfo(host));
  server.method('process.memory', anything, () => memoryNumbers());
  server.method('process.stop', z.object({ brick: z.string().optional() }).optional(), (params) =>
    stop(host, params?.brick),
  );
  server.method('process.statedump', anything, () => dump(host));
  server.method('process.statedump.text', anything, () => ({ text: host.dumper.text() }));
  server.method('metrics.text', anything, () => ({ text: host.services.metrics.text() }));
  server.method('loglevel.set', z.object({ level: z.enum(logLevels) }), ({ level }) => {
    host.log.setLevel(level);
    return { level };
  });
  server.method('log.reopen', anything, () => host.reopen());
  return server;
}

/** Listens for the life of the process. */
export async function listenForControl(host: Host, server: ManagementServer, path: string): Promise<void> {
  await server.listen(unixTransport(), { kind: 'unix', path, mode: 0o600 });
  host.atEnd('control socket', () => server.close());
}

function dump(host: Host): { path: string } {
  try {
    return { path: host.dump() };
  } catch (error) {
    if (!(error instanceof ReportError)) throw error;
    host.log.write('ERROR', host.name, error.message);
    throw new ManagementError('NO_DUMP', error.message);
  }
}

function processInfo(host: Host) {
  const { name, args } = host;
  return { name, pid: process.pid, brick: args.brickName, volfileId: args.volfileId, processName: args.processName };
}

function stop(host: Host, brick: string | undefined): { stopping: true } {
  const own = host.args.brickName;
  if (brick !== undefined && own !== undefined && brick !== own)
    throw new ManagementError('NO_BRICK', `this process serves ${own}, not ${brick}`);
  host.services.clock.after(stopDelayMs, () => host.exit('asked over the control socket'));
  return { stopping: true };
}

/** The graph as it runs, for people and tests. */
export function graphInfo(keeper: GraphKeeper) {
  const { graph, top, text } = keeper.current;
  return {
    id: graph.id,
    generations: keeper.generations,
    state: top.state,
    top: graph.top.name,
    volfile: text,
    xlators: [...graph.xlators.values()].map((xlator) => ({
      name: xlator.name,
      type: xlator.type,
      subvolumes: xlator.children.map((child) => child.xlator.name),
      options: Object.fromEntries(xlator.texts),
    })),
  };
}
