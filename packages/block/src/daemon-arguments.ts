/** What the command lines of rssrv and rsiod have in common. */
import { isAbsolute, resolve } from 'node:path';
import type { OptionSpecs } from '@mortar/host/arguments/getopt.ts';
import { type ProcessArguments, processArguments } from '@mortar/host/arguments/process-arguments.ts';
import { logDirectory, runDirectory } from '@mortar/host/process/directories.ts';

export const daemonSpecs = {
  config: { short: 'c', value: 'required' },
  'no-daemon': { short: 'N', value: 'none' },
  debug: { value: 'none' },
  'log-file': { short: 'l', value: 'required' },
  'log-level': { short: 'L', value: 'required' },
  'pid-file': { short: 'p', value: 'required' },
  'metrics-port': { value: 'required' },
  help: { short: 'h', value: 'none' },
  version: { short: 'V', value: 'none' },
} as const satisfies OptionSpecs;

/** The options' values by name; null for one that takes none. */
type Given = ReadonlyMap<string, string | null>;

/** What any process of Mortar is told, from the words of this daemon. */
export function daemonProcess(name: string, given: Given, cwd: string): ProcessArguments {
  const option = (word: string, usual?: string) => {
    const value = given.get(word) ?? usual;
    return value === undefined ? [] : [`--${word}=${value}`];
  };
  const words = [
    ...option('log-file', `${logDirectory}/${name}.log`),
    ...option('log-level'),
    ...option('pid-file', `${runDirectory}/${name}.pid`),
    ...option('metrics-port'),
    ...(given.has('no-daemon') ? ['-N'] : []),
    ...(given.has('debug') ? ['--debug'] : []),
  ];
  return processArguments(words, cwd);
}

/** The path that an option names, else the usual one. */
export function pathGiven(name: string, usual: string, given: Given, cwd: string): string {
  const path = given.get(name) ?? usual;
  return isAbsolute(path) ? path : resolve(cwd, path);
}
