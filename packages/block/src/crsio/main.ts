/** crsio: makes and changes the configuration of a client, on a full screen. */
import { randomBytes, randomInt } from 'node:crypto';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Log } from '@mortar/core';
import { type OptionSpecs, parseArguments, UsageError } from '@mortar/host/arguments/getopt.ts';
import { versionText } from '@mortar/host/arguments/information.ts';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { defaultConfigFile } from '../client/arguments.ts';
import { ClientDocument } from '../config/client-document.ts';
import { explore } from '../rsio/explorer/explorer.ts';
import { localAddresses } from '../rsio/networks.ts';
import { identitiesOf } from './identities.ts';
import { type Effect, Model } from './model.ts';
import { screenOf } from './screen.ts';
import { ConfigStore } from './store.ts';
import { CursesTerminal } from './terminal.ts';

const specs = {
  config: { short: 'c', value: 'required' },
  help: { short: 'h', value: 'none' },
  version: { short: 'V', value: 'none' },
} as const satisfies OptionSpecs;

const usage = `Usage: crsio [OPTION...]
Makes and changes the configuration of rsiod on a full screen: interfaces, namespaces and their servers, which it can look for.

  -c, --config=FILE      ${defaultConfigFile}
  -h, --help
  -V, --version
`;
const usageExitCode = 64;
const defaultPort = 5000;
const quiet: Log = { level: 'ERROR', setLevel: () => {}, write: () => {} };
const ports = {
  clock: new SystemClock(),
  random: {
    bytes: (count: number) => new Uint8Array(randomBytes(count)),
    integer: (below: number) => randomInt(below),
  },
  log: quiet,
};

const hostName = () => hostname().split('.')[0] ?? '';

class Program {
  readonly #store: ConfigStore;
  readonly #model: Model;
  readonly #terminal = new CursesTerminal();

  /** Throws when the file cannot be read. */
  constructor(file: string) {
    this.#store = new ConfigStore(file);
    const addresses = localAddresses().filter(({ isLoopback, netmask }) => !isLoopback && netmask.includes('.'));
    this.#model = new Model({
      text: this.#store.read(),
      addresses: addresses.map(({ address }) => address),
      hostName: hostName(),
    });
  }

  run(): void {
    process.on('exit', () => this.#terminal.close());
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) process.on(signal, () => process.exit(1));
    process.on('uncaughtException', (error) => {
      this.#terminal.close();
      process.stderr.write(`crsio: ${error.stack}\n`);
      process.exit(1);
    });
    this.#terminal.open(
      (key) => this.#press(key),
      () => this.#show(),
    );
    this.#show();
  }

  #show(): void {
    const { width, height } = this.#terminal.size;
    this.#terminal.show(screenOf(this.#model, this.#store.path, width, height));
  }

  #press(key: string): void {
    const effect = this.#model.press(key);
    if (effect) this.#do(effect);
    this.#show();
  }

  #do(effect: Effect): void {
    if (effect.kind === 'quit') process.exit(0);
    if (effect.kind === 'save') {
      const { problem, isForeign } = this.#store.save(effect.text, effect.overwrite);
      this.#model.saved(effect.text, problem, isForeign);
    } else void this.#explore(effect);
  }

  /** A person has asked for it: networks are asked as well. */
  async #explore({ search, namespace, seeds }: Extract<Effect, { kind: 'explore' }>): Promise<void> {
    const document = new ClientDocument(this.#model.text);
    const { interfaces, defaults } = document;
    const usual = Number(defaults.get('port') ?? defaultPort);
    const found = await explore({
      ports,
      interfaces: interfaces.map(({ name, values }) => ({ name, address: values.get('address') ?? '' })),
      seeds: seeds.map(({ address, port }) => ({ address, port: port ?? usual })),
      discovery: 'broadcast',
      networkPorts: [...new Set([usual, ...seeds.map(({ port }) => port ?? usual)])],
      namespace,
      measure: 0,
      identities: identitiesOf(document, hostName()),
    });
    this.#model.explored(search, found);
    this.#show();
  }
}

function main(words: readonly string[]): number | undefined {
  try {
    const { options, words: rest } = parseArguments(words, specs);
    if (rest.length > 0) throw new UsageError(`'${rest[0]}' is one word too many`);
    const given = new Map<string, string | null>(options.map(({ name, value }) => [name, value]));
    if (given.has('help') || given.has('version')) {
      process.stdout.write(given.has('help') ? usage : `${versionText()}\n`);
      return 0;
    }
    if (!process.stdin.isTTY || !process.stdout.isTTY)
      throw new Error('a terminal is needed; without one the file can be edited with any editor');
    new Program(resolve(given.get('config') ?? defaultConfigFile)).run();
    return undefined;
  } catch (error) {
    process.stderr.write(`crsio: ${(error as Error).message}\n${error instanceof UsageError ? usage : ''}`);
    return error instanceof UsageError ? usageExitCode : 1;
  }
}

const exitCode = main(process.argv.slice(2));
if (exitCode !== undefined) process.exitCode = exitCode;
