import { nearest } from '@mortar/core/nearest.ts';
import { type Command, commands, type Family, patternOf } from './commands.ts';
import { errorLine, type Io, line } from './io.ts';

/** Title and underline of a family's help; GlusterFS draws one `=` fewer for two of them. */
const titles: Partial<Record<Family, readonly [string, string]>> = {
  volume: ['gluster volume commands', '========================'],
  peer: ['gluster peer commands', '======================'],
  bitrot: ['gluster bitrot commands', '========================'],
  quota: ['gluster quota commands', '======================='],
  snapshot: ['gluster snapshot commands', '========================='],
  global: ['gluster global commands', '========================'],
};

function byPattern(a: Command, b: Command): number {
  const [left, right] = [patternOf(a), patternOf(b)];
  return left < right ? -1 : Number(left > right);
}

export function printFamily(io: Io, family: Family): number {
  const title = titles[family];
  if (title) line(io, `\n${title[0]}\n${title[1]}\n`);
  const ofFamily = commands.filter((command) => command.family === family).sort(byPattern);
  for (const command of ofFamily) line(io, `${patternOf(command)} - ${command.description}`);
  if (title) line(io, '\n');
  return 0;
}

export function printOverview(io: Io): number {
  const rows = commands
    .filter((command) => command.path.at(-1) === 'help' && command.path.length > 1 && command.family !== 'system')
    .map((command) => [command.path.join(' '), command.description] as const);
  const order = ['peer', 'volume', 'volume bitrot', 'volume quota', 'snapshot', 'global'];
  for (const name of order) {
    const row = rows.find(([path]) => path === `${name} help`);
    if (row) line(io, ` ${row[0].padEnd(25)}- ${row[1]}`);
  }
  line(io, '\n');
  return 0;
}

/** Beside the words of the original, which are on standard output: what a mistyped one most likely meant. */
export function hint(io: Io, word: string, known: Iterable<string>): void {
  const meant = nearest(word, known);
  if (meant !== undefined) errorLine(io, `Did you mean ${meant}?`);
}

/** After words that are no command. */
export function printGeneralUsage(io: Io): void {
  io.out(
    '\n Usage: gluster [options] <help> <peer> <pool> <volume>\n Options:\n' +
      ' --help  Shows the help information\n --version  Shows the version\n' +
      ' --print-logdir  Shows the log directory\n --print-statedumpdir Shows the state dump directory\n\n',
  );
}

/** After words that are a command with wrong arguments: the last form of it that the help has. */
export function printUsage(io: Io, command: Command): void {
  const forms = commands.filter((other) => other.path.join(' ') === command.path.join(' '));
  errorLine(io, `\nUsage:\n${patternOf(forms.at(-1) ?? command)}\n`);
}

export function printVersion(io: Io): number {
  io.out(
    'glusterfs 10.3\nMortar 0.1.0: the formats and commands of GlusterFS 10, written anew\nMIT licence, without any warranty\n',
  );
  return 0;
}
