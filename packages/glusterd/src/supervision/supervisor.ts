/** Bricks of this node and its processes that move files: started, recognised again after a restart of glusterd, watched, ended. */
import { dirname } from 'node:path';
import { parseBool } from '@mortar/core';
import { Errno } from '@mortar/core/errno.ts';
import { OperationError } from '../errors.ts';
import {
  brickPidFile,
  brickSocket,
  type Directories,
  managementPort,
  rebalancePidFile,
  rebalanceSocket,
  rebalanceStatusFile,
} from '../paths.ts';
import type { MachinePorts } from '../ports.ts';
import type { BrickInfo, VolumeInfo, VolumeTask } from '../volume.ts';
import { brickArguments, isBrickProcess, isRebalance, portIn, rebalanceArguments } from './brick-command.ts';
import { defaultPorts, PortRange, type Ports } from './port-range.ts';
import { ProcessWatch, type Watched } from './process-watch.ts';
import { Turns } from './turns.ts';

/** What the portmap knows of a brick that runs. */
export interface BrickRecord {
  volume: string;
  path: string;
  pid: number;
  port: number;
  socketPath: string;
  /** It said so itself, over a connection that stands. */
  signedIn: boolean;
}

/** Where daemons without a host of their own find glusterd. */
export interface ServerAddress {
  host: string;
  port: number;
}

/** What is common to the daemons of a node: program and arguments. */
export interface DaemonStarter {
  readonly program: string;
  readonly server: ServerAddress;
  commonArguments(): string[];
  logLevelArguments(): string[];
}

export interface ProcessState {
  online: boolean;
  pid: number;
  port: number;
}

/** What a brick says when it signs in. */
export interface SignIn {
  pid: number;
  port: number;
  /** Where clients on this host connect; empty: nowhere. */
  socketPath: string;
}

const startTimeoutMs = 60_000;
const portAttempts = 5;
const retireTimeoutMs = 10_000;
const retirePollMs = 100;
const offline: ProcessState = { online: false, pid: 0, port: 0 };

export class Supervisor {
  readonly #ports: MachinePorts;
  readonly #directories: Directories;
  readonly #binaries: string;
  readonly #watch: ProcessWatch;
  readonly #range: PortRange;
  /** By path: paths of bricks are unique on a node. */
  readonly #bricks = new Map<string, BrickRecord>();
  /** By path: bricks that were started here and not ended here. */
  readonly #wanted = new Set<string>();
  /** What is under way for a brick (by path) or a rebalance (by `rebalance/VOLUME`): one thing after the other. */
  readonly #turns = new Turns();
  readonly #server: ServerAddress;
  readonly #poolOption: (key: string) => string | undefined;

  constructor(
    ports: MachinePorts,
    directories: Directories,
    binaries: string,
    server: ServerAddress = { host: 'localhost', port: managementPort },
    poolOption: (key: string) => string | undefined = () => undefined,
    brickPorts: Ports = defaultPorts,
  ) {
    this.#poolOption = poolOption;
    this.#server = server;
    this.#ports = ports;
    this.#directories = directories;
    this.#binaries = binaries;
    this.#watch = new ProcessWatch(ports.files, ports.processes, ports.clock);
    this.#range = new PortRange(ports.processes, ports.random, brickPorts);
  }

  /**
   * Finds what runs from before, starts what should run and does not. Failures are logged: the others must come up. Volumes
   * are changed meanwhile: `current` tells what is wanted at the moment in which it is a process's turn; `mayStart`, whether what does not run
   * is to be started now.
   */
  async resume(
    names: readonly string[],
    current: (name: string) => VolumeInfo | undefined,
    node: string,
    mayStart: (volume: VolumeInfo) => boolean = () => true,
  ): Promise<void> {
    for (const name of names) {
      for (const brick of current(name)?.bricks ?? []) {
        if (brick.hostUuid !== node) continue;
        const step = this.#turns.take(brick.path, () => this.#resumeBrick(current(name), brick, mayStart));
        await step.catch((error: Error) => this.#log('ERROR', `brick ${brick.host}:${brick.path}: ${error.message}`));
      }
    }
  }

  async #resumeBrick(
    volume: VolumeInfo | undefined,
    brick: BrickInfo,
    mayStart: (volume: VolumeInfo) => boolean,
  ): Promise<void> {
    if (!volume?.bricks.some(({ path, hostUuid }) => path === brick.path && hostUuid === brick.hostUuid)) return;
    if (volume.status !== 'started') return this.#stopBrick(volume, brick);
    const runs = await this.#watch.seek(this.#watchedBrick(volume.name, brick), this.#directories.run);
    if (runs || mayStart(volume)) await this.#startBrick(volume, brick);
  }

  /** Runs the brick if it does not run; resolves to its port. Throws OperationError. */
  startBrick(volume: VolumeInfo, brick: BrickInfo): Promise<number> {
    return this.#turns.take(brick.path, () => this.#startBrick(volume, brick));
  }

  /** Whether it should run: it was started here, and nobody here has ended it since. */
  isWanted({ path }: BrickInfo): boolean {
    return this.#wanted.has(path);
  }

  /** `died`: it left its pid file, as who ends in order does not. */
  async fateOf(volume: VolumeInfo, brick: BrickInfo): Promise<'runs' | 'died' | 'ended'> {
    const watched = this.#watchedBrick(volume.name, brick);
    const known = this.#bricks.get(brick.path)?.pid ?? 0;
    if ((await this.#watch.find(watched)) ?? (await this.#watch.at(known, watched))) return 'runs';
    return (await this.#ports.files.read(watched.pidFile)) === null ? 'ended' : 'died';
  }

  /** Somebody else has ended it, who may want it so. */
  letGo({ path }: BrickInfo): void {
    this.#wanted.delete(path);
  }

  /** As `startBrick`, if it is still wanted when its turn comes, and `current` has its volume running. */
  restartBrick(brick: BrickInfo, current: () => VolumeInfo | undefined): Promise<void> {
    return this.#turns.take(brick.path, async () => {
      const volume = current();
      const now = volume?.bricks.find(({ path, hostUuid }) => path === brick.path && hostUuid === brick.hostUuid);
      if (volume?.status === 'started' && now && this.isWanted(now)) await this.#startBrick(volume, now);
    });
  }

  async #startBrick(volume: VolumeInfo, brick: BrickInfo): Promise<number> {
    const known = await this.#watch.seek(this.#watchedBrick(volume.name, brick), this.#directories.run);
    if (known) {
      this.#wanted.add(brick.path);
      return this.#remember(volume, brick, known.pid, portIn(known.words)).port;
    }
    this.forget(brick.path);
    await this.#prepareFolders(volume.name);
    // A socket that a killed brick left would keep its successor from listening.
    await this.#ports.files.remove(brickSocket(this.#directories, volume.name, brick));
    const port = await this.#startBrickAtFreePort(volume, brick);
    const started = await this.#watch.find(this.#watchedBrick(volume.name, brick));
    this.#remember(volume, brick, started?.pid ?? 0, port);
    this.#wanted.add(brick.path);
    return port;
  }

  /** Between the look at a port and the brick's own listening another program may take it: then the next one. */
  async #startBrickAtFreePort(volume: VolumeInfo, brick: BrickInfo): Promise<number> {
    for (let attempt = 1, wanted = brick.port; ; attempt++, wanted = 0) {
      const port = await this.#range.take(wanted);
      const args = [...brickArguments(this.#directories, volume, brick, port), ...this.#commonArguments()];
      const { exit, message } = await this.#ports.processes.run(`${this.#binaries}/glusterfsd`, args, startTimeoutMs);
      if (exit === 0) return port;
      this.#range.release(port);
      this.#log('ERROR', `glusterfsd ${args.join(' ')}: exit status ${exit}: ${message}`);
      if (exit !== Errno.EADDRINUSE || attempt === portAttempts)
        throw new OperationError(`brick ${brick.host}:${brick.path} did not start: ${message}`);
    }
  }

  stopBrick(volume: VolumeInfo, brick: BrickInfo): Promise<void> {
    return this.#turns.take(brick.path, () => this.#stopBrick(volume, brick));
  }

  /**
   * Ends a brick that left its volume, once the clients that were told so have gone over to the new graph: what they have under
   * way would fail with it. Who stays is not waited for longer than some seconds.
   */
  retireBrick(volume: VolumeInfo, brick: BrickInfo): Promise<void> {
    return this.#turns.take(brick.path, async () => {
      const { clock } = this.#ports;
      const endMs = clock.nowMs() + retireTimeoutMs;
      while ((await this.#hasClients(volume, brick)) && clock.nowMs() < endMs) await clock.sleep(retirePollMs);
      await this.#stopBrick(volume, brick);
    });
  }

  async #hasClients(volume: VolumeInfo, brick: BrickInfo): Promise<boolean> {
    if (!(await this.#watch.find(this.#watchedBrick(volume.name, brick)))) return false;
    try {
      const answer = await this.askBrick(volume, brick, 'brick.clients', {}, retireTimeoutMs);
      return Array.isArray(answer) && answer.length > 0;
    } catch (error) {
      this.#log('INFO', `brick ${brick.host}:${brick.path} does not tell its clients: ${(error as Error).message}`);
      return false;
    }
  }

  async #stopBrick(volume: VolumeInfo, brick: BrickInfo): Promise<void> {
    this.#wanted.delete(brick.path);
    const watched = this.#watchedBrick(volume.name, brick);
    await this.#watch.seek(watched, this.#directories.run);
    await this.#watch.end(watched);
    await this.#ports.files.remove(brickSocket(this.#directories, volume.name, brick));
    this.forget(brick.path);
  }

  async brickState(volume: VolumeInfo, brick: BrickInfo): Promise<ProcessState> {
    const watched = this.#watchedBrick(volume.name, brick);
    const known = this.#bricks.get(brick.path)?.pid ?? 0;
    const running = (await this.#watch.find(watched)) ?? (await this.#watch.at(known, watched));
    if (!running) return offline;
    const port = this.#bricks.get(brick.path)?.port || portIn(running.words);
    return { online: true, pid: running.pid, port };
  }

  /** Throws OperationError. `isAgain`: it goes on with what one that died has counted. */
  startRebalance(
    volume: VolumeInfo,
    task: Pick<VolumeTask, 'command' | 'id'>,
    node: string,
    { share = '', isAgain = false }: { share?: string; isAgain?: boolean } = {},
  ): Promise<void> {
    return this.#turns.take(`rebalance/${volume.name}`, async () => {
      await this.#endRebalance(volume, node);
      const { files, processes } = this.#ports;
      await this.#prepareFolders(volume.name);
      await files.makeDirectory(dirname(rebalancePidFile(this.#directories, volume.name, node)));
      if (!isAgain) await files.remove(rebalanceStatusFile(this.#directories, volume.name));
      await files.remove(rebalanceSocket(this.#directories, volume.id));
      const own = rebalanceArguments(this.#directories, volume, task, node, this.#server.host, share);
      const args = [...own, ...this.#commonArguments()];
      const { exit, message } = await processes.run(`${this.#binaries}/glusterfs`, args, startTimeoutMs);
      if (exit === 0) return;
      this.#log('ERROR', `glusterfs ${args.join(' ')}: exit status ${exit}: ${message}`);
      throw new OperationError(`the rebalance process of ${volume.name} did not start: ${message}`);
    });
  }

  async isRebalancing(volume: VolumeInfo, node: string): Promise<boolean> {
    return (await this.#watch.seek(this.#watchedRebalance(volume, node), this.#directories.run)) !== null;
  }

  endRebalance(volume: VolumeInfo, node: string): Promise<void> {
    return this.#turns.take(`rebalance/${volume.name}`, () => this.#endRebalance(volume, node));
  }

  /** Also one that has lost its pid file. */
  async #endRebalance(volume: VolumeInfo, node: string): Promise<void> {
    const watched = this.#watchedRebalance(volume, node);
    await this.#watch.seek(watched, this.#directories.run);
    await this.#watch.end(watched);
  }

  askRebalance(volume: VolumeInfo, method: string, timeoutMs: number): Promise<unknown> {
    return this.#ports.processes.ask(rebalanceSocket(this.#directories, volume.id), method, {}, timeoutMs);
  }

  #watchedRebalance(volume: VolumeInfo, node: string): Watched {
    return {
      pidFile: rebalancePidFile(this.#directories, volume.name, node),
      recognises: (words) => isRebalance(words, volume.name),
    };
  }

  /** One management call to a brick, through its socket. */
  askBrick(
    volume: VolumeInfo,
    brick: BrickInfo,
    method: string,
    params: unknown,
    timeoutMs = 10_000,
  ): Promise<unknown> {
    return this.#ports.processes.ask(brickSocket(this.#directories, volume.name, brick), method, params, timeoutMs);
  }

  /**
   * A brick says where it listens. Any local process can come here, so what it says must fit the process that the pid
   * file names, which only root writes. False: it does not.
   */
  async signIn(volume: VolumeInfo, brick: BrickInfo, said: SignIn): Promise<boolean> {
    const running = await this.#watch.find(this.#watchedBrick(volume.name, brick));
    if (running?.pid !== said.pid) return false;
    const told = portIn(running.words);
    if (told !== 0 && said.port !== 0 && said.port !== told) return false;
    const isOwnSocket = said.socketPath === '' || isBelow(said.socketPath, this.#directories.run);
    if (!isOwnSocket) return false;
    const record = this.#remember(volume, brick, said.pid, said.port || told);
    record.socketPath = said.socketPath;
    record.signedIn = true;
    return true;
  }

  /** The brick says farewell, or its connection broke: whether it lives is looked up when someone asks. */
  signOut(path: string, pid: number): void {
    const record = this.#bricks.get(path);
    if (record?.pid === pid) record.signedIn = false;
  }

  record(path: string): BrickRecord | undefined {
    return this.#bricks.get(path);
  }

  records(): readonly BrickRecord[] {
    return [...this.#bricks.values()];
  }

  forget(path: string): void {
    const record = this.#bricks.get(path);
    if (record) this.#range.release(record.port);
    this.#bricks.delete(path);
  }

  #remember(volume: VolumeInfo, brick: BrickInfo, pid: number, port: number): BrickRecord {
    const known = this.#bricks.get(brick.path);
    const same = known !== undefined && known.pid === pid;
    const record: BrickRecord = same
      ? known
      : { volume: volume.name, path: brick.path, pid, port, socketPath: '', signedIn: false };
    if (port > 0) record.port = port;
    this.#range.reserve(record.port);
    // A sign-in that came before the starter returned knows the socket already.
    if (known && !same && known.pid === 0) record.socketPath = known.socketPath;
    this.#bricks.set(brick.path, record);
    return record;
  }

  #watchedBrick(volume: string, brick: BrickInfo): Watched {
    return {
      pidFile: brickPidFile(this.#directories, volume, brick),
      recognises: (words) => isBrickProcess(words, volume, brick),
    };
  }

  /** How daemons beside the bricks are started. */
  get starter(): DaemonStarter {
    return {
      program: `${this.#binaries}/glusterfs`,
      server: this.#server,
      commonArguments: () => this.#commonArguments(),
      logLevelArguments: () => {
        const level = this.#poolOption('cluster.daemon-log-level');
        return level === undefined ? [] : ['--log-level', level];
      },
    };
  }

  #commonArguments(): string[] {
    const { port } = this.#server;
    const isLocalTime = parseBool(this.#poolOption('cluster.localtime-logging') ?? 'off') === true;
    return [
      ...(port === managementPort ? [] : ['--volfile-server-port', `${port}`]),
      ...(isLocalTime ? ['--localtime-logging'] : []),
    ];
  }

  async #prepareFolders(volume: string): Promise<void> {
    const { run, log } = this.#directories;
    for (const folder of [`${run}/vols/${volume}`, `${log}/bricks`]) await this.#ports.files.makeDirectory(folder);
  }

  #log(level: 'ERROR' | 'INFO', text: string): void {
    this.#ports.log.write(level, 'management', text);
  }
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`) && !path.slice(folder.length + 1).includes('/');
}
