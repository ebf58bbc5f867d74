/** The state of this node: committed to the database, then shown in the text files. */
import type { Log, Random } from '@mortar/core/ports.ts';
import type { Directories } from '../paths.ts';
import type { Files } from '../ports.ts';
import { newUuid } from '../uuid.ts';
import { adoptFiles } from './adopt.ts';
import { type Batches, Database } from './database.ts';
import { applied, type Change, maxOpVersion, type State } from './documents.ts';
import { StoreView, type VolfilesOf } from './view.ts';

export interface StorePorts {
  files: Files;
  random: Random;
  log: Log;
}

export class Store {
  readonly #database: Database;
  readonly #view: StoreView;
  readonly #log: Log;
  #state: State;

  private constructor(database: Database, view: StoreView, log: Log, state: State) {
    this.#database = database;
    this.#view = view;
    this.#log = log;
    this.#state = state;
  }

  /** Loads the database; if it is empty, the text files; if there are none, begins as a new node. */
  static async open(
    batches: Batches,
    directories: Directories,
    volfiles: VolfilesOf,
    ports: StorePorts,
  ): Promise<Store> {
    const database = new Database(batches);
    let state = await database.load();
    if (!state) {
      const adopted = await adoptFiles(ports.files, directories.work);
      if (adopted)
        ports.log.write('INFO', 'management', `adopted ${adopted.volumes.size} volumes from ${directories.work}`);
      state = adopted ?? newState(ports.random);
      await database.commit(state);
    }
    const view = new StoreView(ports.files, directories, volfiles);
    const store = new Store(database, view, ports.log, state);
    await view.writeAll(state);
    return store;
  }

  get state(): State {
    return this.#state;
  }

  /** Durable when it resolves. The files follow; if they cannot be written it is logged and made good at the next start. */
  async commit(change: Change, agreement?: ReadonlyMap<string, unknown>): Promise<void> {
    await this.#database.commit(change, agreement);
    this.#state = applied(this.#state, change);
    if (isEmpty(change)) return;
    try {
      await this.#view.writeChange(this.#state, change);
    } catch (error) {
      this.#log.write('ERROR', 'management', `committed, but the text files lag behind: ${(error as Error).message}`);
    }
  }

  /** What agreement keeps beside the documents. */
  get agreement(): ReadonlyMap<string, unknown> {
    return this.#database.agreement;
  }

  /** A commit failed, and may be on disk all the same: what is there counts. */
  async reload(): Promise<void> {
    this.#state = (await this.#database.load()) ?? this.#state;
  }

  /** See `StoreView.edited`. */
  editedVolfile(name: string): Promise<string | null> {
    return this.#view.edited(name);
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}

function isEmpty({ node, globals, volumes, peers }: Change): boolean {
  return !node && !globals && !volumes?.size && !peers?.size;
}

function newState(random: Random): State {
  return {
    node: { uuid: newUuid(random), opVersion: maxOpVersion },
    globals: { version: 0, options: {} },
    volumes: new Map(),
    peers: new Map(),
  };
}
