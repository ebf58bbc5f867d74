/** A whole management daemon in one process: real files below a temporary folder, recorded processes. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { nullLog } from '@mortar/rpc/null-ports.ts';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { type BrickInspector, systemInspector } from '../brick-inspector.ts';
import { Daemon } from '../daemon.ts';
import { nodeFiles } from '../node/files.ts';
import type { Directories } from '../paths.ts';
import type { PoolSettings } from '../pool/service.ts';
import type { CommandResult, Files, HostNames, MachinePorts, ProcessPort } from '../ports.ts';
import type { CommandReply, ReplyData } from '../protocol/replies.ts';
import type { RequestOf, Verb } from '../protocol/requests.ts';
import { runCommand } from '../server/commands.ts';
import type { Batches } from '../store/database.ts';

/** An ordered store in memory that survives the daemon. */
export class MemoryBatches implements Batches {
  readonly entries = new Map<string, string>();
  /** Commits that are still granted; then the disk is full. */
  commitsLeft = Number.POSITIVE_INFINITY;

  async *iterator(): AsyncIterable<[string, string]> {
    for (const key of [...this.entries.keys()].sort()) yield [key, this.entries.get(key)!];
  }

  async batch(operations: Parameters<Batches['batch']>[0]): Promise<void> {
    if (this.commitsLeft-- <= 0) throw new Error('no space left on device');
    for (const operation of operations) {
      if (operation.type === 'del') this.entries.delete(operation.key);
      else this.entries.set(operation.key, operation.value);
    }
  }

  async close(): Promise<void> {}
}

/** Files that can stop being written in the middle, as when the process dies. */
export class BreakableFiles {
  writesLeft = Number.POSITIVE_INFINITY;
  readonly files: Files = {
    ...nodeFiles,
    write: async (path, text, mode) => {
      if (this.writesLeft-- <= 0) throw new Error('the process died here');
      await nodeFiles.write(path, text, mode);
    },
  };
}

function option(words: readonly string[], name: string): string {
  return words[words.indexOf(name) + 1]!;
}

/** Programs that are written down instead of run. Bricks and heal daemons leave a pid file and live in a table. */
export class RecordedProcesses implements ProcessPort {
  readonly ran: { program: string; args: readonly string[] }[] = [];
  readonly alive = new Map<number, readonly string[]>();
  readonly signals: { pid: number; signal: string }[] = [];
  readonly asked: { socketPath: string; method: string; params: unknown }[] = [];
  readonly busyPorts = new Set<number>();
  /** How many bricks from now on find that somebody has taken their port. */
  portsTaken = 0;
  /** Processes that SIGTERM does not end. */
  readonly stubborn = new Set<number>();
  /** Paths of bricks that do not start. */
  readonly broken = new Set<string>();
  /** Bricks, and who moves files, do not start before it. */
  gate: Promise<void> = Promise.resolve();
  answers: Record<string, unknown> = {};
  /** Heal daemons that answer nothing, by pid. */
  readonly deaf = new Set<number>();
  /** By heal daemon: the volumes that it was told to heal, and their pid files. */
  readonly healed = new Map<number, readonly { volume: string; pidFile: string }[]>();
  #nextPid = 1_000_001;

  async run(program: string, args: readonly string[]): Promise<CommandResult> {
    this.ran.push({ program, args });
    if (!args.includes('--process-name')) return { exit: 0, message: '' };
    if (this.broken.has(option(args, '--brick-name'))) return { exit: 1, message: 'the brick is broken' };
    if (args.includes('--brick-port') || args.includes('rebalance')) await this.gate;
    if (args.includes('--brick-port') && this.portsTaken-- > 0)
      return { exit: 98, message: 'listen EADDRINUSE: address already in use' };
    const pid = this.#nextPid++;
    this.alive.set(pid, ['glusterfsd', ...args]);
    await nodeFiles.write(option(args, '-p'), `${pid}\n`);
    if (args.includes('glustershd')) await nodeFiles.write(option(args, '-S'), '');
    return { exit: 0, message: '' };
  }

  async commandLine(pid: number): Promise<readonly string[] | null> {
    return this.alive.get(pid) ?? null;
  }

  async search(_folder: string, recognises: (words: readonly string[]) => boolean) {
    return [...this.alive].filter(([, words]) => recognises(words)).map(([pid, words]) => ({ pid, words }));
  }

  signal(pid: number, signal: 'SIGTERM' | 'SIGKILL' | 'SIGHUP' | 'SIGUSR1'): boolean {
    this.signals.push({ pid, signal });
    if (signal === 'SIGTERM' && !this.stubborn.has(pid)) this.#end(pid);
    if (signal === 'SIGKILL') this.die(pid);
    return true;
  }

  /** Killed: its pid files stay. */
  die(pid: number): void {
    this.alive.delete(pid);
    this.healed.delete(pid);
  }

  /** In good order, as when a person asks for it. */
  #end(pid: number): void {
    const words = this.alive.get(pid) ?? [];
    const own = [option(words, '-p'), option(words, '-S'), ...this.#healedBy(pid)];
    if (this.healed.has(pid)) for (const path of own) rmSync(path, { force: true });
    else if (words.includes('--brick-port')) rmSync(option(words, '-p'), { force: true });
    this.die(pid);
  }

  #healedBy(pid: number): string[] {
    return (this.healed.get(pid) ?? []).map(({ pidFile }) => pidFile);
  }

  /** What a heal daemon does with its pid files: its own and its volumes'. */
  #serve(socketPath: string, { volumes }: { volumes: { volume: string; pidFile: string }[] }): unknown {
    const [pid, words = []] = [...this.alive].find(([, one]) => option(one, '-S') === socketPath) ?? [];
    if (pid === undefined || this.deaf.has(pid) || !existsSync(socketPath))
      throw new Error('nobody answers heal.serve');
    for (const path of this.#healedBy(pid)) rmSync(path, { force: true });
    this.healed.set(pid, volumes);
    for (const pidFile of [option(words, '-p'), ...this.#healedBy(pid)]) {
      mkdirSync(dirname(pidFile), { recursive: true });
      writeFileSync(pidFile, `${pid}\n`);
    }
    return volumes.map(({ volume }) => ({ volume, error: null }));
  }

  async isPortFree(port: number): Promise<boolean> {
    return !this.busyPorts.has(port);
  }

  async ask(socketPath: string, method: string, params: unknown): Promise<unknown> {
    this.asked.push({ socketPath, method, params });
    if (method === 'heal.serve' && !Object.hasOwn(this.answers, method))
      return this.#serve(socketPath, params as { volumes: { volume: string; pidFile: string }[] });
    if (!Object.hasOwn(this.answers, method)) throw new Error(`nobody answers ${method}`);
    return this.answers[method];
  }

  /** Pids of the live processes whose command line has this word. */
  pidsOf(word: string): number[] {
    return [...this.alive].filter(([, words]) => words.includes(word)).map(([pid]) => pid);
  }
}

const hosts: HostNames = {
  hostname: () => 'node1',
  addresses: () => ['127.0.0.1', '10.0.0.1'],
  resolve: async (host) => (host === 'alias1' ? ['10.0.0.1'] : []),
};

export class Rig {
  readonly root = mkdtempSync(join(tmpdir(), 'mortar-glusterd-'));
  readonly batches = new MemoryBatches();
  readonly disk = new BreakableFiles();
  readonly processes = new RecordedProcesses();
  readonly directories: Directories = {
    work: join(this.root, 'work'),
    run: join(this.root, 'run'),
    log: join(this.root, 'log'),
  };
  readonly lines: string[] = [];
  /** Answers instead of the file system's. */
  inspector: Partial<BrickInspector> = {};
  daemon!: Daemon;
  hosts: HostNames = hosts;
  /** What a new working directory gets. */
  seeds: string | null = null;
  /** Where events go. */
  post: MachinePorts['post'];
  calls: MachinePorts['calls'];
  /** How peers are reached; without it the node is alone. */
  pool: PoolSettings | null = null;

  get ports(): MachinePorts {
    const log = {
      ...nullLog,
      write: (level: string, _origin: string, text: string) => void this.lines.push(`${level} ${text}`),
    };
    // Waiting for a stubborn process must not make the tests slow.
    const clock = { ...nodeClock, sleep: (ms: number) => nodeClock.sleep(Math.min(ms, 1)) };
    const ports = {
      clock,
      random: nodeRandom,
      log,
      files: this.disk.files,
      processes: this.processes,
      hosts: this.hosts,
    };
    return { ...ports, ...(this.post && { post: this.post }), ...(this.calls && { calls: this.calls }) };
  }

  /** Starts management; after a `restart` with what is on disk. */
  async start(): Promise<Daemon> {
    const inspector = { ...systemInspector, ...this.inspector };
    const { directories, pool, seeds } = this;
    const settings = { directories, binaries: '/programs', seeds, inspector, ...(pool && { pool }) };
    this.daemon = await Daemon.open(settings, this.batches, this.ports);
    return this.daemon;
  }

  async run<V extends Verb>(request: RequestOf<V> & { verb: V }): Promise<CommandReply<ReplyData[V]>> {
    return (await runCommand(this.daemon.context, request, request.verb)) as CommandReply<ReplyData[V]>;
  }

  /** The text of a refusal. */
  async refusal<V extends Verb>(request: RequestOf<V> & { verb: V }): Promise<string> {
    const reply = await this.run<V>(request);
    if (reply.ok) throw new Error(`${request.verb} was not refused`);
    return reply.error.text;
  }

  async done<V extends Verb>(request: RequestOf<V> & { verb: V }): Promise<ReplyData[V]> {
    const reply = await this.run<V>(request);
    if (!reply.ok) throw new Error(`${request.verb} failed: ${reply.error.text}`);
    return reply.data;
  }

  brick(name: string, host = 'node1'): string {
    return `${host}:${join(this.root, name)}`;
  }

  createRequest(
    volume: string,
    bricks: string[],
    more: Partial<RequestOf<'volume.create'>> = {},
  ): RequestOf<'volume.create'> {
    return {
      verb: 'volume.create',
      volume,
      type: 'distribute',
      replica: 1,
      arbiter: 0,
      thinArbiter: 0,
      disperse: 0,
      redundancy: 0,
      transport: 'tcp',
      bricks,
      force: true,
      ignorePartition: false,
      ...more,
    };
  }

  create(volume: string, bricks: string[], more: Partial<RequestOf<'volume.create'>> = {}) {
    return this.done(this.createRequest(volume, bricks, more));
  }

  createReplica(volume: string) {
    const bricks = [1, 2, 3].map((i) => this.brick(`${volume}-${i}`));
    return this.create(volume, bricks, { type: 'replicate', replica: 3 });
  }

  /** A file below the working directory, or null. */
  file(path: string): Promise<string | null> {
    return nodeFiles.read(join(this.directories.work, path));
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
