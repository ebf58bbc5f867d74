/** Questions that the command line answers by itself: version, help, directories. */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { logDirectory, runDirectory } from '../process/directories.ts';
import { parseArguments } from './getopt.ts';
import { processOptions } from './table.ts';

/** GlusterFS's release whose commands and formats Mortar answers for; programs compare it. */
export const compatibleVersion = '10.3';

export function versionText(): string {
  return `glusterfs ${compatibleVersion}\nMortar: a clustered file system of stackable translators, compatible with GlusterFS ${compatibleVersion}`;
}

/** Prints the answer and returns true if the arguments ask such a question. */
export function answerInformation(name: string, args: readonly string[]): boolean {
  const asked = new Set(parseArguments(args, processOptions).options.map((option) => option.name));
  const answers: readonly (readonly [string, () => string])[] = [
    ['version', versionText],
    ['help', () => helpText(name)],
    ['usage', () => helpText(name)],
    ['print-logdir', () => logDirectory],
    ['print-statedumpdir', () => runDirectory],
    ['print-xlatordir', () => 'translators are part of the program'],
    ['print-libexecdir', helperDirectory],
  ];
  const answer = answers.find(([option]) => asked.has(option));
  if (answer) process.stdout.write(`${answer[1]()}\n`);
  return answer !== undefined;
}

/** Helper programs stand in a folder of their own where the installation has one, else beside the commands. */
function helperDirectory(): string {
  const installation = dirname(dirname(realpathSync(process.argv[1] ?? '/')));
  const own = join(installation, 'libexec', 'glusterfs');
  return existsSync(own) ? own : join(installation, 'bin');
}

function helpText(name: string): string {
  const lines = Object.entries(processOptions).map(([option, spec]) => {
    const short = 'short' in spec && spec.short !== '?' ? `-${spec.short}, ` : '    ';
    const value = spec.value === 'required' ? '=VALUE' : spec.value === 'optional' ? '[=VALUE]' : '';
    return `  ${short}--${option}${value}`;
  });
  return [
    `Usage: ${name} [OPTION...] --volfile-server=SERVER --volfile-id=VOLUME [MOUNT-POINT]`,
    `  or:  ${name} [OPTION...] --volfile=VOLFILE [MOUNT-POINT]`,
    '',
    ...lines,
  ].join('\n');
}
