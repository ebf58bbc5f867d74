/** From words to an exit status. */
import type { Flags } from './flags.ts';
import { hint, printGeneralUsage, printUsage } from './help.ts';
import { errorLine, type Io, line } from './io.ts';
import { type Caller, ConnectionFailed, Session, UsageError } from './session.ts';
import { findCommand } from './tree.ts';

export async function runWords(session: Session, words: readonly string[]): Promise<number> {
  const found = findCommand(words);
  if (found.kind !== 'command') {
    const unknown = found.kind === 'unknown-word';
    line(
      session.io,
      unknown ? `unrecognized word: ${found.word} (position ${found.position})` : 'unrecognized command',
    );
    if (unknown) hint(session.io, found.word, found.known);
    printGeneralUsage(session.io);
    return 1;
  }
  const { command } = found;
  if (!command.load) {
    errorLine(session.io, `${command.path.join(' ')}: not available in this version of Mortar`);
    return 1;
  }
  try {
    const handler = await command.load();
    const status = await handler(session, words);
    session.hint();
    return status;
  } catch (error) {
    if (error instanceof UsageError) {
      for (const reason of error.reasons) (error.onOutput ? line : errorLine)(session.io, reason);
      printUsage(session.io, command);
      return 1;
    }
    const code = (error as { code?: unknown }).code;
    if (code === 'TIMEOUT') {
      errorLine(session.io, 'Error : Request timed out');
      return 1;
    }
    // Gone before it answered: as good as not there.
    if (!(error instanceof ConnectionFailed) && code !== 'DISCONNECTED') throw error;
    line(session.io, 'Connection failed. Please check if gluster daemon is operational.');
    return 1;
  }
}

/** Commands from standard input, one a line, until its end or `quit`. Without a terminal the first failure ends it. */
async function prompt(session: Session, io: Io): Promise<number> {
  errorLine(io, "Welcome to gluster prompt, type 'help' to see the available commands.");
  for (;;) {
    const text = await nextLine(session, io);
    if (text === null) return 0;
    const words = text.split(/[ \t\r\n]+/).filter((word) => word !== '');
    if (words.length === 0) continue;
    if (words[0] === 'quit' || words[0] === 'exit') return 0;
    const status = await runWords(session, words);
    if (status !== 0 && !io.inputIsTerminal) return status;
  }
}

async function nextLine(session: Session, io: Io): Promise<string | null> {
  if (!io.inputIsTerminal) return io.readLine();
  if (io.prompt) {
    const { completeLine } = await import('./completion.ts');
    return io.prompt('gluster> ', (line) => completeLine(line, () => volumeNames(session)));
  }
  io.out('gluster> ');
  return io.readLine();
}

/** For completion: without a daemon there are none. */
async function volumeNames(session: Session): Promise<readonly string[]> {
  try {
    const reply = await session.request(['volume', 'list'], { verb: 'volume.list' });
    return reply.ok ? reply.data.names : [];
  } catch {
    return [];
  }
}

export async function run(
  io: Io,
  flags: Flags,
  words: readonly string[],
  connect: (flags: Flags) => Promise<Caller>,
): Promise<number> {
  const fromInput = words.length === 0;
  const session = new Session(io, fromInput && !io.inputIsTerminal ? { ...flags, script: true } : flags, connect);
  try {
    return fromInput ? await prompt(session, io) : await runWords(session, words);
  } finally {
    session.close();
  }
}
