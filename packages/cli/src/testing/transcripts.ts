/** Commands as they ran on GlusterFS, and a terminal and a glusterd to run them again here. */
import { readFileSync } from 'node:fs';
import type { CommandError, CommandReply } from '@mortar/glusterd/protocol/replies.ts';
import { type Request, requestSchema } from '@mortar/glusterd/protocol/requests.ts';
import { expect } from 'vitest';
import type { Io } from '../io.ts';
import { main } from '../main.ts';
import type { Caller } from '../session.ts';

export interface Transcript {
  command: string;
  input: string;
  stdout: string;
  stderr: string;
  exit: number;
}

export type Outcome = Pick<Transcript, 'stdout' | 'stderr' | 'exit'>;
export type Answer = (request: Request) => CommandReply<unknown>;

export function transcripts(name: string): Transcript[] {
  const path = new URL(`../../../../test/fixtures/cli/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(path, 'utf8')) as { transcripts: Transcript[] }).transcripts;
}

export function transcript(name: string, command: string, nth = 0): Transcript {
  const found = transcripts(name).filter((one) => one.command === command)[nth];
  if (!found) throw new Error(`${name} has no '${command}'`);
  return found;
}

export function outcomeOf({ stdout, stderr, exit }: Transcript): Outcome {
  return { stdout, stderr, exit };
}

export const ok = (data: unknown): CommandReply<unknown> => ({ ok: true, data });
export const refused = (text: string, more: Partial<CommandError> = {}): CommandReply<unknown> => ({
  ok: false,
  error: { text, errno: 30800, ...more },
});

/** The words of a command as a shell splits them; single quotes hold blanks. */
export function shellWords(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!).slice(1);
}

/** Runs a command; requests are checked as glusterd would and answered by `answer`. */
export async function runCommand(
  command: string,
  answer?: Answer,
  input = '',
  more: Partial<Io> = {},
): Promise<Outcome & { requests: Request[] }> {
  const outcome = { stdout: '', stderr: '', exit: 0, requests: [] as Request[] };
  const lines = input === '' ? [] : input.replace(/\n$/, '').split('\n');
  const io: Io = {
    out: (text) => {
      outcome.stdout += text;
    },
    err: (text) => {
      outcome.stderr += text;
    },
    readLine: async () => lines.shift() ?? null,
    inputIsTerminal: false,
    ...more,
  };
  const caller: Caller = {
    async call(_method, params) {
      const request = requestSchema.parse((params as { request: unknown }).request);
      outcome.requests.push(request);
      if (!answer) throw new Error(`'${command}' asks glusterd for ${request.verb}`);
      return answer(request);
    },
    close: () => undefined,
  };
  outcome.exit = await main(shellWords(command), io, async () => caller);
  return outcome;
}

/** Runs a recorded command against an answer of glusterd: all that is printed must be the same. */
export async function compare(file: string, command: string, answer: Answer, nth = 0): Promise<void> {
  const one = transcript(file, command, nth);
  const { requests, ...outcome } = await runCommand(command, answer, one.input);
  expect(outcome).toEqual(outcomeOf(one));
}

/** The nodes of the recorded cluster. */
export const nodes = {
  '10.78.0.11': '7b51575f-facf-469d-a415-3e414ef567fb',
  '10.78.0.12': 'cba83d75-fadc-4eae-84cf-82d3a5a9ee3d',
  '10.78.0.13': 'b0bd286c-5ebe-4249-a5a1-8e74cf77590e',
} as const;
export type Host = keyof typeof nodes;
