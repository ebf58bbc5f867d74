/** The running daemon: real ports, sockets, signals. Loaded only in the process that serves. */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseBool } from '@mortar/core';
import { StateDumper } from '@mortar/host/dump/writer.ts';
import { consoleTarget, FileTarget, LineLog } from '@mortar/host/ports/log.ts';
import { MetricsRegistry } from '@mortar/host/ports/metrics.ts';
import { listenForMetrics, type MetricsPlace } from '@mortar/host/ports/metrics-server.ts';
import { addProcessMetrics } from '@mortar/host/ports/process-metrics.ts';
import { setCommandName } from '@mortar/host/process/identity.ts';
import { takePidFile } from '@mortar/host/process/pidfile.ts';
import { tellFailed, tellReady } from '@mortar/host/process/readiness.ts';
import { handleSignals, type SignalActions } from '@mortar/host/process/signals.ts';
import { CallMeter } from '@mortar/rpc/management/call-meter.ts';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { refusalLogger, secureAccess, workDirectoryVariable } from '@mortar/rpc/transports/secure-access.ts';
import { tcpTransport } from '@mortar/rpc/transports/tcp.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import type { DaemonArguments } from './arguments.ts';
import { Daemon } from './daemon.ts';
import { nodeMetrics } from './metrics/node-metrics.ts';
import { nodeFiles } from './node/files.ts';
import { nodeHosts } from './node/hosts.ts';
import { nodePost } from './node/post.ts';
import { nodeProcesses } from './node/processes.ts';
import { agreement } from './pool/agreement.ts';
import { openLevel } from './store/database.ts';

export async function serve(args: DaemonArguments, installation: string): Promise<void> {
  let actions: SignalActions | undefined;
  handleSignals(() => actions);
  setCommandName('glusterd');
  try {
    actions = await start(args, installation);
    tellReady();
  } catch (error) {
    tellFailed(`glusterd: ${(error as Error).message}`, 1);
    process.exit(1);
  }
}

async function start(args: DaemonArguments, installation: string): Promise<SignalActions> {
  const { directories } = args;
  for (const folder of [directories.work, directories.run, directories.log, dirname(args.pidFile)])
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  const log = new LineLog(args.console ? consoleTarget : new FileTarget(args.logFile), nodeClock, args.logLevel);
  if (args.withoutEffect.length > 0)
    log.write('WARNING', 'management', `the volfile's options have no effect: ${args.withoutEffect.join(', ')}`);
  process.on('unhandledRejection', (reason) => {
    const text = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
    log.write('CRITICAL', 'management', `a promise failed unnoticed: ${text}`);
  });
  const pidFile = takePidFile(args.pidFile, 'glusterd');
  const binaries = process.env.MORTAR_BIN ?? join(installation, 'bin');
  const environment = {
    ...process.env,
    MORTAR_RUN_DIRECTORY: directories.run,
    MORTAR_LOG_DIRECTORY: directories.log,
    MORTAR_READY_FD: undefined,
    // Hook scripts find the programs of this installation, whatever else there is.
    PATH: [binaries, process.env.PATH].filter((part) => part).join(':'),
    [workDirectoryVariable]: directories.work,
  };
  log.write('INFO', 'glusterd', `started: pid ${process.pid}, working directory ${directories.work}`, 100030);
  const metrics = new MetricsRegistry();
  const calls = new CallMeter(metrics, nodeClock);
  const ports = {
    clock: nodeClock,
    random: nodeRandom,
    log,
    files: nodeFiles,
    processes: nodeProcesses(environment, calls),
    hosts: nodeHosts,
    post: nodePost,
    calls,
  };
  const tls = secureAccess(directories.work);
  const refused = refusalLogger(
    (text) => log.write('ERROR', 'management', text),
    () => nodeClock.nowMs(),
  );
  const secure = tls ? { tls, refused } : {};
  if (tls) log.write('INFO', 'management', `TLS: connections to other nodes and clients, with ${tls.ownCertificate}`);
  const settings = {
    directories,
    binaries,
    seeds: join(installation, 'share', 'glusterd'),
    bindAddress: args.bindAddress,
    brickPorts: args.brickPorts,
    server: { host: args.bindAddress ?? 'localhost', port: args.port },
    pool: {
      // Peers know this node by the address that it listens at.
      transport: tcpTransport({ ...(args.bindAddress !== null && { localAddress: args.bindAddress }), ...secure }),
      port: args.port,
      parts: agreement,
    },
  };
  const batches = await openLevel(join(directories.work, 'mortar.db'));
  const daemon = await Daemon.open(settings, batches, ports);
  log.inLocalTime = () => {
    const set = daemon.context.store.state.globals.options['cluster.localtime-logging'];
    return args.localTime || (set !== undefined && parseBool(set) === true);
  };
  await daemon.listen(tcpTransport(secure), { kind: 'tcp', host: args.bindAddress ?? '0.0.0.0', port: args.port });
  await daemon.listen(unixTransport(), { kind: 'unix', path: args.socketPath });
  daemon.resume().catch((error: Error) => log.write('ERROR', 'management', `resuming failed: ${error.stack}`));
  const metricsServer = args.metrics && (await openMetrics(args.metrics, metrics, daemon));
  const dumper = new StateDumper(nodeClock);
  dumper.add(() => sections(daemon));
  return {
    async stop(signal) {
      log.write('WARNING', 'glusterd', `received ${signal}, shutting down; bricks go on`, 100032);
      metricsServer?.close();
      await daemon.close();
      pidFile.release();
    },
    reopen: () => log.reopen(),
    dump: () => log.write('INFO', 'glusterd', `sig:USR1 state dump written to ${dumper.write()}`),
    failed: (text) => log.write('ERROR', 'glusterd', text),
  };
}

/** Several who look at the same moment are told the same. */
function openMetrics(place: MetricsPlace, own: MetricsRegistry, daemon: Daemon) {
  addProcessMetrics(own);
  let looking: Promise<string> | null = null;
  return listenForMetrics(place, () => {
    looking ??= nodeMetrics(daemon.context, own.text()).finally(() => {
      looking = null;
    });
    return looking;
  });
}

/** What the state dump says of management. */
function sections(daemon: Daemon) {
  const { store, locks, supervisor } = daemon.context;
  const entries: [string, string | number][] = [
    ['glusterd.my-uuid', store.state.node.uuid],
    ['glusterd.op-version', store.state.node.opVersion],
    ['glusterd.volumes', store.state.volumes.size],
    ['glusterd.peers', store.state.peers.size],
    ['memory', readFileSync('/proc/self/statm', 'utf8').trim()],
  ];
  for (const { subject, holder, ageMs } of locks.holders())
    entries.push([`lock.${subject}`, `${holder.operation} by ${holder.node} for ${Math.round(ageMs)} ms`]);
  for (const brick of supervisor.records())
    entries.push([`brick.${brick.path}`, `pid ${brick.pid} port ${brick.port} signed-in ${brick.signedIn}`]);
  return [{ name: 'xlator.glusterd.priv', values: Object.fromEntries(entries) }];
}
