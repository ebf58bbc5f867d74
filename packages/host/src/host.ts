/** A process that runs a graph: identity, signals, log, pid file, state dump, orderly end. Roles build on it. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname } from 'node:path';
import { groupsOf } from '@mortar/libc';
import { refusalLogger, secureAccess } from '@mortar/rpc/transports/secure-access.ts';
import { type Accounts, accountsPortName } from '@mortar/xlators/lib/accounts.ts';
import { type DumpFiles, dumpFilesPortName } from '@mortar/xlators/lib/dump-files.ts';
import { compatibleVersion } from './arguments/information.ts';
import type { ProcessArguments } from './arguments/process-arguments.ts';
import { keepGraphOn } from './client/keep-graph.ts';
import { sectionsOf } from './dump/of-graph.ts';
import { processSection } from './dump/sections.ts';
import { writeReport } from './dump/write-report.ts';
import { StateDumper } from './dump/writer.ts';
import type { GraphKeeper, KeeperOptions } from './graph/keeper.ts';
import { SystemClock } from './ports/clock.ts';
import { consoleTarget, FileTarget, LineLog } from './ports/log.ts';
import { addProcessMetrics } from './ports/process-metrics.ts';
import { runDirectory } from './process/directories.ts';
import { setCommandName, setOomScoreAdjust } from './process/identity.ts';
import { claimPidFile, type PidFile, readPidFile, takePidFile } from './process/pidfile.ts';
import { tellFailed, tellReady } from './process/readiness.ts';
import { handleSignals } from './process/signals.ts';
import { LazyRegistry } from './registry/registry.ts';
import { HostServices } from './services.ts';
import { StartError } from './start-error.ts';
import { SocketTransportPort } from './transport/port.ts';

/** Only root writes there; a name that is a link is replaced, not followed. */
const runFiles: DumpFiles = {
  write(name, text) {
    const temporary = `${runDirectory}/.dump-${process.pid}`;
    mkdirSync(runDirectory, { recursive: true, mode: 0o755 });
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, `${runDirectory}/${basename(name)}`);
  },
};

const accounts: Accounts = { groupsOf };

type Ending = () => Promise<void> | void;

export class Host {
  readonly name: string;
  readonly args: ProcessArguments;
  readonly services: HostServices;
  readonly registry = new LazyRegistry();
  readonly dumper: StateDumper;
  readonly network: SocketTransportPort;
  /** Newest first at the end of the process. */
  readonly #endings: { what: string; end: Ending }[] = [];
  readonly #reopens = new Set<() => void>();
  #leavesPidFile = false;
  #stopping: Promise<void> | undefined;

  constructor(name: string, args: ProcessArguments, services: HostServices) {
    this.name = name;
    this.args = args;
    this.services = services;
    const refused = refusalLogger(
      (text) => services.log.write('ERROR', name, text),
      () => services.clock.nowMs(),
    );
    this.network = new SocketTransportPort(args.serverPort, secureAccess(), refused);
    services.addPort(dumpFilesPortName, runFiles);
    services.addPort(accountsPortName, accounts);
    this.dumper = new StateDumper(services.clock, args.brickName);
    this.dumper.add(() => [processSection()]);
    addProcessMetrics(services.metrics);
  }

  get log(): LineLog {
    return this.services.log;
  }

  /** Runs when the process ends, before what was added earlier. */
  atEnd(what: string, end: Ending): void {
    this.#endings.push({ what, end });
  }

  /** Runs on SIGHUP, after the log was reopened. The result ends it. */
  onReopen(reopen: () => void): () => void {
    this.#reopens.add(reopen);
    return () => this.#reopens.delete(reopen);
  }

  /** Whether the pid file stays at the end: the process did not end because it was asked to. */
  get leavesPidFile(): boolean {
    return this.#leavesPidFile;
  }

  /** Writes the pid file anew if somebody took it away. */
  renewPidFile(): void {
    const { pidFile } = this.args;
    if (pidFile === undefined || readPidFile(pidFile) === process.pid) return;
    claimPidFile(pidFile);
    this.log.write('WARNING', this.name, `pid file ${pidFile} was gone or another's, and is written anew`);
  }

  /** Prepares a graph for this process; the caller starts it. SIGHUP reads its volfile again. */
  keepGraph(options: Omit<KeeperOptions, 'services' | 'registry' | 'overrides' | 'volumeName'>): GraphKeeper {
    const { overrides, volumeName } = this.args;
    const keeper = keepGraphOn(this.network, {
      services: this.services,
      registry: this.registry,
      overrides,
      ...(volumeName === undefined ? {} : { volumeName }),
      ...options,
    });
    inodeGauges(this.services);
    this.atEnd('graph', () => keeper.stop());
    this.onReopen(() => void keeper.refresh());
    this.dumper.add(() => sectionsOf(keeper, this.services));
    return keeper;
  }

  /**
   * Prepares the graph of one volume beside those of others: with inodes and counters of its own, which end with it. The caller starts it,
   * and ends it, at the latest at the end of the process.
   */
  keepVolume(volume: string, options: Omit<KeeperOptions, 'services' | 'registry' | 'overrides' | 'volumeName'>) {
    const { metrics } = this.services;
    const part = metrics.part({ volume });
    const services = this.services.beside(part);
    inodeGauges(services);
    const { overrides } = this.args;
    const keeper = keepGraphOn(this.network, {
      services,
      registry: this.registry,
      overrides,
      origin: volume,
      ...options,
    });
    const ends = [
      this.onReopen(() => void keeper.refresh()),
      this.dumper.add(() => sectionsOf(keeper, services, { volume })),
      () => metrics.drop(part),
    ];
    const end = async () => {
      for (const one of ends) one();
      await keeper.stop();
    };
    return { keeper, inodes: services.inodes, end };
  }

  /** The service is up. */
  ready(): void {
    tellReady();
  }

  /** Ends everything in order; the caller then exits the process. */
  stop(why: string): Promise<void> {
    this.#stopping ??= this.#stop(why);
    return this.#stopping;
  }

  /** Ends the process because of a bug: its pid file tells who watches over it that nobody asked for that. */
  crash(why: string): void {
    this.#leavesPidFile = true;
    this.exit(why, 70);
  }

  /** Ends the process from within: its mount is gone, or glusterd asked for it. */
  exit(why: string, exitCode = 0): void {
    setTimeout(() => process.exit(exitCode || 1), 4500).unref();
    this.stop(why).then(
      () => process.exit(exitCode),
      () => process.exit(exitCode || 1),
    );
  }

  /** SIGHUP. */
  reopen(): void {
    try {
      this.log.reopen();
      this.log.write('INFO', this.name, 'sig:HUP log file opened anew');
    } finally {
      for (const reopen of this.#reopens) reopen();
    }
  }

  /** SIGUSR1. Returns the file's path. Throws ReportError. */
  dump(): string {
    const path = this.dumper.write();
    this.log.write('INFO', this.name, `sig:USR1 state dump written to ${path}`);
    return path;
  }

  /** SIGUSR2: the counters as they are now, in a file below the run directory. Throws ReportError. */
  dumpMetrics(): void {
    const path = `${runDirectory}/metrics/gmetrics.${process.pid}`;
    writeReport(path, this.services.metrics.text(), 'the counters', 'read them by --metrics-port');
    this.log.write('INFO', this.name, `sig:USR2 metrics written to ${path}`);
  }

  async #stop(why: string): Promise<void> {
    this.log.write('WARNING', this.name, `cleanup_and_exit: ${why}`, 100032);
    for (const { what, end } of this.#endings.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        this.log.write('ERROR', this.name, `while ending ${what}: ${(error as Error).stack}`);
      }
    }
  }
}

function inodeGauges({ metrics, inodes }: HostServices): void {
  metrics.gauge('inodes_active', () => inodes.stats().active);
  metrics.gauge('inodes_idle', () => inodes.stats().lru);
}

/**
 * Runs a role in this process: opens the log, takes the pid file, lets `serve` bring the service up, and says that it is
 * ready. A failure is logged, told to whoever started the process, and ends it with the error's exit code.
 */
export async function runHost(
  name: string,
  args: ProcessArguments,
  serve: (host: Host) => Promise<void>,
): Promise<void> {
  let host: Host | undefined;
  handleSignals(
    () =>
      host && {
        stop: (signal) => host!.stop(`received signum (${constants.signals[signal]}), shutting down`),
        reopen: () => host!.reopen(),
        dump: () => void host!.dump(),
        metrics: () => host!.dumpMetrics(),
        failed: (text) => host!.log.write('ERROR', name, text),
      },
  );
  try {
    setCommandName(name);
    // Modes come from the callers of the file system, whole; this process says its own.
    process.umask(0);
    if (args.oomScoreAdjust !== undefined) setOomScoreAdjust(args.oomScoreAdjust);
    const clock = new SystemClock();
    const log = new LineLog(args.console ? consoleTarget : openLog(args.logFile), clock);
    log.inLocalTime = () => args.given.has('localtime-logging');
    host = new Host(name, args, new HostServices(log, clock, args.lruLimit));
    catchBugs(host);
    const line = [name, ...process.argv.slice(2)].join(' ');
    log.write('INFO', name, `Started running version ${compatibleVersion} (${line})`, 100030);
    // That line is in every log, whatever its level.
    log.setLevel(args.logLevel);
    holdPidFile(host);
    process.chdir('/');
    await serve(host);
    host.ready();
  } catch (error) {
    await fail(name, host, error);
  }
}

function openLog(path: string): FileTarget {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    return new FileTarget(path);
  } catch (error) {
    throw new StartError(`ERROR: failed to create logfile "${path}" (${(error as Error).message})`);
  }
}

function holdPidFile(host: Host): void {
  const path = host.args.pidFile;
  if (path === undefined) return;
  let file: PidFile;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    file = takePidFile(path, host.name);
  } catch (error) {
    throw new StartError(`pidfile ${path} error: ${(error as Error).message}`, 1, { cause: error });
  }
  host.atEnd('pid file', () => {
    if (!host.leavesPidFile) file.release();
  });
}

/** An exception that nobody caught is a bug; the state it left is unknown, so the process ends with the stack logged. */
function catchBugs(host: Host): void {
  const log = (what: string, error: unknown) =>
    host.log.write('CRITICAL', host.name, `${what}: ${error instanceof Error ? error.stack : String(error)}`);
  process.on('uncaughtException', (error) => {
    log('uncaught exception', error);
    host.crash('uncaught exception');
  });
  process.on('unhandledRejection', (error) => {
    log('unhandled rejection', error);
    host.crash('unhandled rejection');
  });
}

async function fail(name: string, host: Host | undefined, error: unknown): Promise<never> {
  const known = error instanceof Error ? error : new Error(String(error));
  const exitCode = error instanceof StartError ? error.exitCode : 1;
  const expected = error instanceof StartError || 'code' in known;
  host?.log.write('ERROR', name, expected ? known.message : (known.stack ?? known.message));
  await host?.stop('it could not start');
  tellFailed(known.message, exitCode);
  process.exit(exitCode);
}
