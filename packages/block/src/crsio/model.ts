/**
 * What crsio does, apart from any terminal: keys come in by name, effects go out, `screen.ts` shows it. Whoever carries out an
 * effect tells its end by `explored` or `saved`.
 */
import { ClientDocument } from '../config/client-document.ts';
import * as v from '../config/values.ts';
import type { Explored } from '../rsio/explorer/explorer.ts';
import { type Entry, interfaceEntry, namespaceEntry, serverEntry } from './entries.ts';
import { type Field, Form } from './form.ts';
import {
  addPlaces,
  type FoundPlace,
  knownPlaces,
  nameOf,
  newNamespaces,
  newPlaces,
  nothingNew,
  type Place,
} from './found.ts';
import { isChoice, type Row, rowsOf } from './rows.ts';

export type Effect =
  | { readonly kind: 'save'; readonly text: string; readonly overwrite: boolean }
  | { readonly kind: 'explore'; readonly search: number; readonly namespace: string; readonly seeds: readonly Place[] }
  | { readonly kind: 'quit' };

interface Item {
  readonly label: string;
  readonly run: () => Effect | null;
}

export type Mode =
  | { readonly kind: 'list' }
  | { readonly kind: 'form'; readonly form: Form; readonly done: (values: Record<string, string>) => Effect | null }
  | { readonly kind: 'menu'; readonly title: string; readonly items: readonly Item[]; at: number }
  | {
      readonly kind: 'busy';
      readonly text: string;
      readonly search: number;
      readonly found: (explored: Explored) => void;
    }
  | { readonly kind: 'quit' };

export interface ModelOptions {
  readonly text: string;
  /** Addresses of this machine that an interface could be made of. */
  readonly addresses: readonly string[];
  readonly hostName: string;
}

const help =
  'Enter: change or add.  F7: what can be done here.  F8: take away.  F3: save.  F10: leave.  In forms: Tab moves, Enter goes on, Esc goes back.';

export class Model {
  readonly #options: ModelOptions;
  readonly #document: ClientDocument;
  #saved: string;
  mode: Mode = { kind: 'list' };
  at = 0;
  message = '';
  #mayOverwrite = false;
  /** Where servers were looked for last. */
  #seeds = '';
  #searches = 0;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#document = new ClientDocument(options.text);
    this.#saved = options.text;
    this.at = this.rows.findIndex(isChoice);
  }

  get rows(): readonly Row[] {
    return rowsOf(this.#document);
  }

  get text(): string {
    return this.#document.text;
  }

  get isChanged(): boolean {
    return this.text !== this.#saved;
  }

  press(key: string): Effect | null {
    if (key === 'CTRL_C') return { kind: 'quit' };
    const { mode } = this;
    switch (mode.kind) {
      case 'list':
        return this.#inList(key);
      case 'form':
        return this.#inForm(mode, key);
      case 'menu':
        return this.#inMenu(mode, key);
      case 'busy':
        if (key === 'ESCAPE') this.#toList('it goes on without what was looked for');
        return null;
      case 'quit':
        if (/^[yY]$/.test(key)) return { kind: 'quit' };
        if (key === 'F3') return this.#save();
        this.#toList('');
        return null;
    }
  }

  /** What was looked for, unless nobody waits for it any more. */
  explored(search: number, found: Explored): void {
    if (this.mode.kind === 'busy' && this.mode.search === search) this.mode.found(found);
  }

  /** `problem`: why it was not saved; null: it was. `isForeign`: somebody else has changed the file; saving again overwrites it. */
  saved(text: string, problem: string | null, isForeign = false): void {
    this.#mayOverwrite = isForeign;
    this.#toList(problem ?? 'saved; rsiod uses it when it is started anew');
    if (problem === null) this.#saved = text;
  }

  #save(): Effect {
    return { kind: 'save', text: this.text, overwrite: this.#mayOverwrite };
  }

  #toList(message: string): void {
    this.mode = { kind: 'list' };
    this.message = message;
    const { rows } = this;
    this.at = Math.min(this.at, rows.length - 1);
    if (!isChoice(rows[this.at]!)) this.at = Math.max(rows.slice(0, this.at).findLastIndex(isChoice), 0);
    if (!isChoice(rows[this.at]!)) this.at = rows.findIndex(isChoice);
  }

  #inList(key: string): Effect | null {
    this.message = '';
    const { rows } = this;
    const row = rows[this.at]!;
    if (key === 'UP') this.at = Math.max(rows.slice(0, this.at).findLastIndex(isChoice), rows.findIndex(isChoice));
    else if (key === 'DOWN') this.at = rows.findIndex((one, i) => i > this.at && isChoice(one));
    else if (key === 'HOME') this.at = rows.findIndex(isChoice);
    else if (key === 'END') this.at = rows.findLastIndex(isChoice);
    else if (key === 'ENTER') this.#edit(row);
    else if (key === 'F1') this.message = help;
    else if (key === 'F3') return this.#save();
    else if (key === 'F7') this.#actions(row);
    else if (key === 'F8' || key === 'DELETE') this.#remove(row);
    else if (key === 'F10') return this.#leave();
    if (this.at < 0) this.at = rows.findLastIndex(isChoice);
    return null;
  }

  #leave(): Effect | null {
    if (!this.isChanged) return { kind: 'quit' };
    this.mode = { kind: 'quit' };
    this.message = 'What was changed is not saved. y: leave without it, F3: save it, any other key: go back';
    return null;
  }

  #inForm(mode: Extract<Mode, { kind: 'form' }>, key: string): Effect | null {
    const { form } = mode;
    if (key === 'ESCAPE') {
      this.#toList('');
      return null;
    }
    if (key !== 'F3' && (key !== 'ENTER' || !form.isLast)) {
      form.press(key === 'ENTER' ? 'DOWN' : key);
      return null;
    }
    const problem = form.check();
    if (problem !== null) {
      this.message = problem;
      return null;
    }
    this.message = '';
    const effect = mode.done(form.values);
    // F3 saves from everywhere, as soon as nothing more is to be asked.
    return effect ?? (key === 'F3' && this.mode.kind === 'list' && this.message === '' ? this.#save() : null);
  }

  #inMenu(mode: Extract<Mode, { kind: 'menu' }>, key: string): Effect | null {
    const { items } = mode;
    if (key === 'UP') mode.at = (mode.at + items.length - 1) % items.length;
    else if (key === 'DOWN') mode.at = (mode.at + 1) % items.length;
    else if (key === 'ESCAPE') this.#toList('');
    else if (key === 'ENTER') return items[mode.at]!.run();
    return null;
  }

  #menu(title: string, items: readonly Item[]): void {
    this.mode = { kind: 'menu', title, items, at: 0 };
  }

  #form(title: string, fields: readonly Field[], done: (values: Record<string, string>) => Effect | null): void {
    this.mode = { kind: 'form', form: new Form(title, fields), done };
  }

  #edit(row: Row): void {
    if (row.kind === 'interface') this.#ask(interfaceEntry(this.#document, row.name));
    else if (row.kind === 'add-interface') this.#ask(interfaceEntry(this.#document, null));
    else if (row.kind === 'namespace') this.#askNamespace(row.name);
    else if (row.kind === 'add-namespace') this.#askNamespace(null);
    else if (row.kind === 'server') this.#ask(serverEntry(this.#document, row.namespace, row.name));
  }

  #remove(row: Row): void {
    if (row.kind === 'interface') this.#document.removeInterface(row.name);
    else if (row.kind === 'namespace') this.#document.removeNamespace(row.name);
    else if (row.kind === 'server') this.#document.removeServer(row.namespace, row.name);
    else return;
    this.#toList(`${row.kind} ${row.name} is taken away`);
  }

  /** Asks for an entry in a form, until it can be put into the document. */
  #ask(entry: Entry): void {
    this.#form(entry.title, entry.fields, (values) => {
      const problem = entry.put(values);
      return problem === null ? this.#went((row) => entry.isRow(row, values)) : this.#again(problem);
    });
  }

  #askNamespace(name: string | null, found: { name?: string; id?: string } = {}): void {
    this.#ask(namespaceEntry(this.#document, name, this.#options.hostName, found));
  }

  /** The form stays. */
  #again(problem: string): null {
    this.message = problem;
    return null;
  }

  /** To the list, with the cursor where something is new. */
  #went(isNew: (row: Row) => boolean): null {
    const at = this.rows.findIndex(isNew);
    if (at >= 0) this.at = at;
    this.#toList('');
    return null;
  }

  /** F7. */
  #actions(row: Row): void {
    const namespace = row.kind === 'namespace' ? row.name : row.kind === 'server' ? row.namespace : null;
    const used = new Set(this.#document.interfaces.map(({ values }) => values.get('address')));
    const unused = this.#options.addresses.filter((address) => !used.has(address));
    const nothing = (run: () => void) => () => {
      run();
      return null;
    };
    this.#menu('Action', [
      ...(namespace === null
        ? []
        : [
            { label: 'Find NEW Namespace Servers', run: nothing(() => this.#seedForm(namespace)) },
            {
              label: `Add Server to ${namespace}`,
              run: nothing(() => this.#ask(serverEntry(this.#document, namespace, null))),
            },
          ]),
      { label: 'Find NEW Namespace', run: nothing(() => this.#seedForm(null)) },
      { label: 'Add NEW Namespace', run: nothing(() => this.#askNamespace(null)) },
      ...unused.map((address) => ({
        label: `Add Interface ${address}`,
        run: nothing(() => this.#ask(interfaceEntry(this.#document, null, address))),
      })),
    ]);
  }

  /** Where to look: servers of a namespace, or (null) namespaces. */
  #seedForm(namespace: string | null): void {
    const fields: Field[] = [{ key: 'seeds', label: 'Look at HOST[:PORT],..', value: this.#seeds, read: v.servers }];
    const title = namespace === null ? 'Find NEW Namespace' : `Find NEW Namespace Servers of ${namespace}`;
    this.message = 'Networks of the interfaces are asked as well, and servers that are known';
    this.#form(title, fields, ({ seeds: text = '' }) => {
      const read = v.servers(text);
      const hosts = 'value' in read ? read.value : [];
      if (hosts.some((host) => 'socket' in host)) return this.#again('an address or a host name is expected');
      this.#seeds = text;
      const named = hosts.flatMap((one) => ('host' in one ? [{ address: one.host, port: one.port ?? null }] : []));
      const found = namespace === null ? this.#foundNamespaces : this.#foundServers(namespace);
      const search = ++this.#searches;
      this.message = '';
      this.mode = { kind: 'busy', text: `${title}: looking ...`, search, found };
      return { kind: 'explore', search, namespace: namespace ?? '', seeds: [...named, ...knownPlaces(this.#document)] };
    });
  }

  #foundNamespaces = (explored: Explored): void => {
    const found = newNamespaces(this.#document, explored);
    if (found.length === 0) {
      this.#toList(nothingNew('namespace', explored));
      return;
    }
    const items = found.map(({ name, id, servers }) => ({
      label: `${name.padEnd(16)} id ${id}, servers: ${servers.join(', ')}`,
      run: () => {
        this.#askNamespace(null, { name, id: String(id) });
        return null;
      },
    }));
    this.#menu('Namespaces that were found', items);
  };

  #foundServers(namespace: string): (explored: Explored) => void {
    return (explored) => {
      const places = newPlaces(this.#document, namespace, explored);
      if (places.length === 0) {
        this.#toList(nothingNew('server', explored));
        return;
      }
      const add = (some: readonly FoundPlace[]) => () => {
        addPlaces(this.#document, namespace, some);
        this.#toList(`${some.length} server(s) added`);
        return null;
      };
      this.#menu(`Servers of ${namespace} that were found`, [
        ...(places.length > 1 ? [{ label: `all ${places.length}`, run: add(places) }] : []),
        ...places.map((one) => ({ label: `${one.server.padEnd(16)} ${nameOf(one)}`, run: add([one]) })),
      ]);
    };
  }
}
