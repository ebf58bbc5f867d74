/** A brick: a host whose graph's top is a protocol/server that listens (docs/processes.md). */
import { Errno } from '@mortar/core/errno.ts';
import {
  controlServer,
  type GraphKeeper,
  type Host,
  listenForControl,
  openVolfile,
  type ProcessArguments,
  runHost,
  StartError,
  serveMetrics,
} from '@mortar/host';
import { threadWaits } from '@mortar/libc';
import type { ProtocolServer } from '@mortar/xlators/protocol/server/index.ts';
import { addBrickMethods, ofType } from './brick-methods.ts';
import { openFileSections } from './open-files.ts';
import { signIn } from './portmap.ts';

/** The server's option `statedump-path`, as the volfile in force has it; by default dumps go to the run directory. */
function statedumpPath(keeper: GraphKeeper): string | undefined {
  const server = [...keeper.current.graph.xlators.values()].find(({ type }) => type === 'protocol/server');
  return server?.texts.get('statedump-path');
}

export async function serve(args: ProcessArguments): Promise<void> {
  await runHost('glusterfsd', brickArguments(args), serveBrick);
}

/** Unused inodes that a brick keeps, unless the command line says otherwise (GlusterFS's network.inode-lru-limit). */
const inodeLimit = 16384;

/**
 * `--brick-port` and the socket for clients on this host are given to whatever server the volfile has, unless an
 * `--xlator-option` says them already.
 */
export function brickArguments(args: ProcessArguments): ProcessArguments {
  const { brickPort, socketFile, overrides, given } = args;
  const wanted = [
    ...(brickPort === undefined ? [] : [{ option: 'listen-port', value: `${brickPort}` }]),
    ...(socketFile === undefined ? [] : [{ option: 'listen-path', value: dataSocketPath(socketFile) }]),
  ];
  const isSaid = (name: string) => overrides.some(({ option }) => option === name || option.endsWith(`.${name}`));
  const added = wanted.filter(({ option }) => !isSaid(option)).map((one) => ({ volume: '*-server', ...one }));
  const lruLimit = given.has('lru-limit') ? args.lruLimit : inodeLimit;
  return { ...args, lruLimit, overrides: [...overrides, ...added] };
}

/** Clients on this host come over a socket of their own beside the one that controls the process. */
export function dataSocketPath(controlSocket: string): string {
  return `${controlSocket.replace(/\.socket$/, '')}.fop`;
}

async function serveBrick(host: Host): Promise<void> {
  const { brickName, socketFile, metricsPort } = host.args;
  // The disk's slowness is told from that of a machine whose processors are busy (docs/io-threads.md).
  host.services.clock.waits = threadWaits;
  const { source, link } = openVolfile(host);
  const keeper = host.keepGraph({ source, isOnlyOne: true });
  try {
    await keeper.start();
  } catch (error) {
    const what = brickName === undefined ? 'brick' : `brick ${brickName}`;
    const exitCode = isAddressInUse(error) ? Errno.EADDRINUSE : 1;
    throw new StartError(`${what} cannot start: ${(error as Error).message}`, exitCode, { cause: error });
  }
  host.dumper.placeAt(() => statedumpPath(keeper));
  host.dumper.add(() => openFileSections(ofType<ProtocolServer>(keeper, 'protocol/server'), brickName ?? host.name));
  if (socketFile !== undefined) {
    const control = controlServer(host, keeper);
    addBrickMethods(control, host, keeper);
    await listenForControl(host, control, socketFile);
  }
  if (metricsPort !== undefined) await serveMetrics(host, metricsPort);
  if (link && brickName !== undefined) {
    const listeners = host.network.listeners();
    const tcp = listeners.find((address) => address.kind === 'tcp');
    const unix = listeners.find((address) => address.kind === 'unix');
    await signIn(host, link, {
      brick: brickName,
      port: tcp?.kind === 'tcp' ? tcp.port : 0,
      pid: process.pid,
      socketPath: unix?.kind === 'unix' ? unix.path : '',
    });
  }
}

/** glusterd gives such a brick another port. */
function isAddressInUse(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && error.code === 'EADDRINUSE') || isAddressInUse(error.cause);
}
