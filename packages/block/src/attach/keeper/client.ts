/**
 * The daemon's side of the keeper. Calls are synchronous: the keeper answers at once, and who does not answer within two seconds
 * is done without, until it can be reached again. A keeper that is gone is started anew and given all descriptors.
 */
import { spawn } from 'node:child_process';
import { byteString, type Clock, errnoName, type Log, type Timer } from '@mortar/core';
import { close, connectUnix, POLLIN, poll, receiveFds, SOCK_SEQPACKET, sendFds, write } from '@mortar/libc';
import { type KeptFile, keptFile, packetMaxBytes, protocolVersion, type Reply, type Request } from './protocol.ts';

const origin = 'attach';
const answerMs = 2000;
const startMs = 10_000;
const startStepMs = 20;
const watchMs = 1000;
/** One that cannot be reached is tried again, ever more seldom. */
const watchMaxMs = 60_000;

export interface KeeperOptions {
  readonly socket: string;
  /** The program, a file for this Node. */
  readonly program: string;
  readonly keepSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Kept {
  readonly key: string;
  readonly file: KeptFile;
  readonly fd: number;
}

/** A reply and the descriptor that came with it. */
interface Answer {
  readonly reply: Reply;
  readonly fd: number | undefined;
}

class KeeperError extends Error {}

export class KeeperClient {
  readonly #options: KeeperOptions;
  /** What is to be kept; the descriptors are others'. */
  readonly #held = new Map<string, { file: KeptFile; fd: number }>();
  #socket: number | null = null;
  #timer: Timer | null = null;
  #isEnded = false;
  #watchMs = watchMs;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /**
   * Finds the keeper of an earlier run, and takes over what it has; starts one else. Null: there is none, which the log tells; it
   * is tried again.
   */
  async start(): Promise<readonly Kept[] | null> {
    try {
      const count = await this.#connect();
      const kept: Kept[] = [];
      for (let index = 0; index < count; index++) {
        const one = this.#get(index);
        if (one) kept.push(one);
      }
      for (const { key, file, fd } of kept) this.#held.set(key, { file, fd });
      this.#watch();
      return kept;
    } catch (error) {
      if (!(error instanceof KeeperError)) throw error;
      this.#lose();
      this.#options.log.write('ERROR', origin, `devices do not outlive this daemon: ${error.message}`);
      this.#watch();
      return null;
    }
  }

  /** `fd` is kept as `key` from now on; of one that is kept, the record changes. */
  put(key: string, file: KeptFile, fd: number): void {
    const before = this.#held.get(key);
    this.#held.set(key, { file, fd });
    this.#try(() => this.#put(key, file, before?.fd === fd ? undefined : fd));
  }

  drop(key: string): void {
    if (!this.#held.delete(key)) return;
    this.#try(() => void this.#done({ op: 'drop', key }));
  }

  /** The daemon ends; what is kept now stays kept for a while. */
  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
    this.#lose();
  }

  get isReached(): boolean {
    return this.#socket !== null;
  }

  #put(key: string, file: KeptFile, fd: number | undefined): void {
    this.#done({ op: 'put', key, record: file }, fd);
  }

  #get(index: number): Kept | null {
    const { reply, fd } = this.#ask({ op: 'get', index });
    if (!reply.ok || !('key' in reply)) return null;
    const file = keptFile.safeParse(reply.record);
    if (fd !== undefined && file.success) return { key: reply.key, file: file.data, fd };
    if (fd !== undefined) close(fd);
    this.#options.log.write('WARNING', origin, `what the keeper has as ${reply.key} cannot be understood`);
    return null;
  }

  /** How many descriptors the keeper has. */
  async #connect(): Promise<number> {
    const { socket, program, keepSeconds, clock, log } = this.#options;
    const path = byteString(socket);
    let fd = connectUnix(path, SOCK_SEQPACKET);
    const isNew = fd < 0;
    if (isNew) {
      const child = spawn(process.execPath, ['--max-old-space-size=32', program, socket, `${keepSeconds}`], {
        argv0: 'rsiod-keeper',
        detached: true,
        stdio: 'ignore',
        cwd: '/',
      });
      let why = '';
      child.on('error', (error) => {
        why = error.message;
      });
      child.on('exit', (code, signal) => {
        why = `it ended with ${code ?? signal}`;
      });
      child.unref();
      for (const untilMs = clock.nowMs() + startMs; fd < 0 && why === '' && clock.nowMs() < untilMs; ) {
        await clock.sleep(startStepMs);
        fd = connectUnix(path, SOCK_SEQPACKET);
      }
      if (fd < 0) throw new KeeperError(`${program} does not start: ${why || errnoName(-fd)}`);
    }
    this.#socket = fd;
    const { reply } = this.#ask({ op: 'hello', version: protocolVersion, keepSeconds });
    if (!reply.ok) throw new KeeperError(`the keeper at ${socket} refuses: ${reply.why}`);
    if (!('count' in reply)) throw new KeeperError(`what listens at ${socket} is no keeper`);
    log.write('INFO', origin, `descriptors are kept by process ${reply.pid}`);
    // Of one that runs already they stand in the log.
    if (isNew) for (const note of reply.notes) log.write('WARNING', origin, `keeper: ${note}`);
    return reply.count;
  }

  /** Throws KeeperError. */
  #ask(request: Request, fd?: number): Answer {
    const socket = this.#socket;
    if (socket === null) throw new KeeperError('the keeper is not there');
    const bytes = Buffer.from(JSON.stringify(request));
    if (bytes.length > packetMaxBytes) throw new KeeperError(`a packet of ${bytes.length} bytes`);
    const sent = fd === undefined ? write(socket, bytes) : sendFds(socket, bytes, [fd]);
    if (sent < 0) throw new KeeperError(`the keeper takes nothing: ${errnoName(-sent)}`);
    if (poll([{ fd: socket, events: POLLIN, revents: 0 }], answerMs) <= 0)
      throw new KeeperError('the keeper does not answer');
    const into = Buffer.alloc(packetMaxBytes);
    const received = receiveFds(socket, into);
    if (typeof received === 'number' || received.length === 0) throw new KeeperError('the keeper has gone');
    const [first, ...more] = received.fds;
    for (const one of more) close(one);
    try {
      return { reply: JSON.parse(into.toString('utf8', 0, received.length)) as Reply, fd: first };
    } catch {
      throw new KeeperError('the keeper answers what cannot be read');
    }
  }

  #done(request: Request, fd?: number): void {
    const { reply } = this.#ask(request, fd);
    if (!reply.ok) throw new KeeperError(reply.why);
  }

  #try(run: () => void): void {
    if (this.#socket === null) return;
    try {
      run();
    } catch (error) {
      if (!(error instanceof KeeperError)) throw error;
      this.#options.log.write('ERROR', origin, error.message);
      this.#lose();
    }
  }

  #lose(): void {
    if (this.#socket !== null) close(this.#socket);
    this.#socket = null;
  }

  /** A keeper that was killed is missed only when the daemon dies: by then there must be another one. */
  #watch(): void {
    const { clock } = this.#options;
    this.#timer = clock.after(this.#watchMs, () => {
      if (this.#isEnded) return;
      const socket = this.#socket;
      if (socket !== null && poll([{ fd: socket, events: POLLIN, revents: 0 }], 0) > 0) this.#lose();
      if (this.#socket === null) void this.#comeBack().finally(() => this.#watch());
      else this.#watch();
    });
  }

  async #comeBack(): Promise<void> {
    this.#watchMs = Math.min(2 * this.#watchMs, watchMaxMs);
    try {
      await this.#connect();
      for (const [key, { file, fd }] of this.#held) this.#put(key, file, fd);
      this.#options.log.write('WARNING', origin, `the keeper had gone: another one has ${this.#held.size} descriptors`);
      this.#watchMs = watchMs;
    } catch (error) {
      if (!(error instanceof KeeperError)) throw error;
      this.#options.log.write('ERROR', origin, error.message);
      this.#lose();
    }
  }
}
