/** rsconfig: asks rsiod. */
import { type OptionSpecs, parseArguments, UsageError } from '@mortar/host/arguments/getopt.ts';
import { versionText } from '@mortar/host/arguments/information.ts';
import { ManagementClient } from '@mortar/rpc/management/client.ts';
import { nodeClock } from '@mortar/rpc/transports/node-ports.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';
import { servers, size } from '../config/values.ts';
import type { Explored } from '../rsio/explorer/explorer.ts';
import { controlSocket } from './arguments.ts';
import type { AdministerReply, AttachReply, LocalReply, QueryReply, StatusReply } from './protocol.ts';
import {
  type AdministrationVerb,
  administrationOptions,
  administrationParams,
  administrationSpecs,
  administrationTimeoutMs,
  administrationUsage,
  administrationVerbs,
} from './rsconfig-administration.ts';
import { showAdministered, showLocal, showQuery, showResults, showStatus } from './show.ts';

const specs = {
  query: { short: 'q', value: 'none' },
  attach: { short: 'a', value: 'none' },
  detach: { short: 'd', value: 'none' },
  list: { short: 'l', value: 'none' },
  monitor: { short: 'm', value: 'required' },
  resize: { short: 'r', value: 'required' },
  verbose: { short: 'v', value: 'none' },
  force: { short: 'f', value: 'none' },
  json: { value: 'none' },
  seed: { value: 'required' },
  ...administrationSpecs,
  socket: { short: 's', value: 'required' },
  help: { short: 'h', value: 'none' },
  version: { short: 'V', value: 'none' },
} as const satisfies OptionSpecs;

const usage = `Usage: rsconfig -q[v..]            what namespaces and servers offer; -vv: what else is there, and the ways; -vvv: their bandwidth
                [--json] [--seed HOST[:PORT],..]   as JSON; where to look beside the configuration
       rsconfig -a [-f] [VOLUME]   attach a volume, or all; -f: also one that another client has
       rsconfig -d [-f] [VOLUME]   detach a volume, or all; -f: also one in use
       rsconfig -l[v..]            volumes that are attached
       rsconfig -m status          paths
       rsconfig -r SIZE VOLUME     grow an attached volume
${administrationUsage}
A volume is NAME or NAMESPACE:NAME.
  -s, --socket=PATH   of rsiod; ${controlSocket}
`;
const usageExitCode = 64;
/** A device of a volume may take minutes to be attached where it was not given up in good order. */
const attachTimeoutMs = 600_000;

type Call = <T>(method: string, params: object, options?: { timeoutMs: number }) => Promise<T>;
type Asked = (call: Call) => Promise<{ text: string; failed?: boolean }>;

/** Throws UsageError. */
function requestOf(words: readonly string[]): { socket: string; run: Asked } | 'help' | 'version' {
  const { options, words: rest } = parseArguments(words, specs);
  const has = (name: string) => options.some((one) => one.name === name);
  const textOf = (name: string) => options.findLast((one) => one.name === name)?.value;
  if (has('help')) return 'help';
  if (has('version')) return 'version';
  const administrated = administrationVerbs.filter(has);
  const actions = ['query', 'attach', 'detach', 'list', 'monitor', 'resize', ...administrated].filter(has);
  if (actions.length !== 1) {
    const verbs = administrationVerbs.map((verb) => `--${verb}`).join(', ');
    throw new UsageError(`one of -q, -a, -d, -l, -m, -r, ${verbs} is expected`);
  }
  const detail = options.filter(({ name }) => name === 'verbose').length;
  const [volume, ...more] = rest;
  if (more.length > 0) throw new UsageError(`'${more[0]}' is one word too many`);
  const force = has('force');
  const named = volume === undefined ? { force } : { volume, force };
  const socket = textOf('socket') ?? controlSocket;
  const of = (run: Asked) => ({ socket, run });
  const wrong = ['json', 'seed'].find(has);
  if (wrong !== undefined && actions[0] !== 'query') throw new UsageError(`--${wrong} goes with -q`);
  const only = administrationOptions.find(has);
  if (only !== undefined && administrated.length === 0)
    throw new UsageError(`--${only} goes with ${administrationVerbs.map((verb) => `--${verb}`).join(', ')}`);
  switch (actions[0]) {
    case 'query':
      return of((call) => query(call, detail, has('json'), seedsOf(textOf('seed') ?? '')));
    case 'list':
      return of(async (call) => ({ text: showLocal(await call<LocalReply>('local', {}), detail) }));
    case 'monitor':
      if (textOf('monitor') !== 'status') throw new UsageError(`'status' is expected behind -m`);
      return of(async (call) => ({ text: showStatus(await call<StatusReply>('status', {})) }));
    case 'resize': {
      const read = size()(textOf('resize') ?? '');
      if ('expected' in read) throw new UsageError(`'${textOf('resize')}': ${read.expected} is expected`);
      if (volume === undefined) throw new UsageError('a volume is expected');
      return of(async (call) => showResults(await call<AttachReply>('resize', { volume, sizeBytes: read.value })));
    }
    case 'attach':
    case 'detach': {
      const patience = { timeoutMs: attachTimeoutMs };
      return of(async (call) => showResults(await call<AttachReply>(actions[0]!, named, patience)));
    }
    default: {
      const params = administrationParams(actions[0] as AdministrationVerb, textOf, has, volume);
      return of(async (call) =>
        showAdministered(await call<AdministerReply>('administer', params, { timeoutMs: administrationTimeoutMs })),
      );
    }
  }
}

function seedsOf(text: string): object[] {
  const read = servers(text);
  if (text !== '' && 'expected' in read) throw new UsageError(`--seed=${text}: HOST[:PORT],.. is expected`);
  const seeds = 'value' in read ? read.value : [];
  return seeds.map((seed) => {
    if (!('host' in seed)) throw new UsageError(`--seed=${text}: HOST[:PORT],.. is expected`);
    return { address: seed.host, ...(seed.port === undefined ? {} : { port: seed.port }) };
  });
}

/** With -vv what there is beside the configuration, and the ways to it; with -vvv also how fast they are. */
async function query(call: Call, detail: number, isJson: boolean, seeds: object[]): Promise<{ text: string }> {
  const told = await call<QueryReply>('query', {});
  const measure = Math.max(0, Math.min(2, detail - 1));
  const wanted = measure > 0 || seeds.length > 0;
  const explored = wanted ? await call<Explored>('explore', { seeds, measure }) : null;
  if (!isJson) return { text: showQuery(told, detail, explored) };
  return { text: `${JSON.stringify(explored ? { ...told, explored } : told, null, 1)}\n` };
}

async function main(words: readonly string[]): Promise<number> {
  try {
    const request = requestOf(words);
    if (request === 'help' || request === 'version') {
      process.stdout.write(request === 'help' ? usage : `${versionText()}\n`);
      return 0;
    }
    const address = { kind: 'unix', path: request.socket } as const;
    const client = await ManagementClient.connect(unixTransport(), address, { clock: nodeClock, program: 'rsconfig' });
    try {
      const { text, failed = false } = await request.run((method, params, options) =>
        client.call(method, params, options),
      );
      process.stdout.write(text);
      return failed ? 1 : 0;
    } finally {
      client.close();
    }
  } catch (error) {
    process.stderr.write(`rsconfig: ${(error as Error).message}\n${error instanceof UsageError ? usage : ''}`);
    return error instanceof UsageError ? usageExitCode : 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
