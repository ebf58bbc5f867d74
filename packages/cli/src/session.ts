import type { CommandReply, ReplyData } from '@mortar/glusterd/protocol/replies.ts';
import type { RequestOf, Verb } from '@mortar/glusterd/protocol/requests.ts';
import type { Flags } from './flags.ts';
import { errorLine, type Io, line } from './io.ts';
import { withProgress } from './progress.ts';

/** Of a command, in the line that says that it is under way. */
const mostWords = 4;

/** One connection to glusterd; opened when the first command needs it. */
export interface Caller {
  call(method: string, params: unknown): Promise<unknown>;
  close(): void;
}

/** No daemon answers at the socket or the host. */
export class ConnectionFailed extends Error {
  readonly code = 'ECONNECT';
}

/** The words of a command make no sense: `reason` comes before the usage, a line on standard error each. */
export class UsageError extends Error {
  readonly code = 'EUSAGE';
  /** Whether the reason belongs on standard output, as a few of GlusterFS's commands have it. */
  readonly onOutput: boolean;
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[] = [], onOutput = false) {
    super(reasons.join('\n'));
    this.reasons = reasons;
    this.onOutput = onOutput;
  }
}

/** What a command has at hand while it runs. */
export class Session {
  readonly io: Io;
  readonly flags: Flags;
  readonly #connect: (flags: Flags) => Promise<Caller>;
  #caller: Caller | undefined;
  #meant: string | undefined;

  constructor(io: Io, flags: Flags, connect: (flags: Flags) => Promise<Caller>) {
    this.io = io;
    this.flags = flags;
    this.#connect = connect;
  }

  async request<V extends Verb>(
    words: readonly string[],
    request: RequestOf<V> & { verb: V },
  ): Promise<CommandReply<ReplyData[V]>> {
    this.#caller ??= await this.#connect(this.flags);
    const asked = this.#caller.call('cli.command', { request, line: words.join(' ') });
    const { progress } = this.io;
    const answer = progress ? await withProgress(progress, words.slice(0, mostWords).join(' '), asked) : await asked;
    const reply = answer as CommandReply<ReplyData[V]>;
    this.#meant = reply.ok ? undefined : reply.error.meant;
    return reply;
  }

  /** A question to be answered with y or n; scripts say y, the end of the input says n. */
  async ask(question: string): Promise<boolean> {
    if (this.flags.script) return true;
    this.io.out(`${question} (y/n) `);
    const answer = await this.io.readLine();
    if (answer === null) line(this.io, 'gluster cli read error');
    const word = answer?.trim().toLowerCase();
    if (word === 'y' || word === 'yes') return true;
    if (word !== 'n' && word !== 'no') line(this.io, 'Invalid input, please enter y/n');
    return false;
  }

  /** What most likely was meant by the last command, told to people only: programs get what GlusterFS says. */
  hint(): void {
    const { io, flags } = this;
    if (this.#meant !== undefined && io.errorIsTerminal && !flags.xml) errorLine(io, `Did you mean ${this.#meant}?`);
    this.#meant = undefined;
  }

  close(): void {
    this.#caller?.close();
    this.#caller = undefined;
  }
}
