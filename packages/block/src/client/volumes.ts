/**
 * Which volumes of servers are attached here: opened at servers, made devices of this machine, and given up again. What an earlier
 * run of this daemon had attached is attached again, as soon as there is a server for it.
 */
import { type Clock, errnoName, type Log } from '@mortar/core';
import { ManagementError } from '@mortar/rpc/management/protocol.ts';
import { AttachError } from '../attach/attach-error.ts';
import type { Kept } from '../attach/keeper/client.ts';
import type { LocalNodes } from '../attach/local-nodes.ts';
import { AwaitedDevice } from '../device/awaited.ts';
import { plainTraits } from '../device/guarded.ts';
import type { NbdServer } from '../nbd/server.ts';
import type { Attached, AttachedDevices } from './attached.ts';
import type { NamespaceClient } from './namespace-client.ts';
import type { AttachReply } from './protocol.ts';
import { type Remembered, readRemembered, writeRemembered } from './remembered.ts';

export interface VolumesOptions {
  readonly namespaces: readonly NamespaceClient[];
  readonly attached: AttachedDevices;
  readonly nodes: LocalNodes;
  readonly nbd: NbdServer;
  /** The file that says what is attached, for the next run. */
  readonly remembered: string;
  readonly clock: Clock;
  readonly log: Log;
}

const origin = 'rsiod';
const missingAgainMs = 1000;

export class Volumes {
  readonly #options: VolumesOptions;
  readonly #namespaces: readonly NamespaceClient[];
  readonly #attached: AttachedDevices;
  /** What an earlier run had attached, and is not yet again. */
  #missing: Remembered = [];
  /** Why, as it was told last, by name. */
  readonly #told = new Map<string, string>();
  /** Devices of an earlier run that no server was found for yet. */
  readonly #awaited = new WeakMap<Attached, AwaitedDevice>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: VolumesOptions) {
    this.#options = options;
    this.#namespaces = options.namespaces;
    this.#attached = options.attached;
  }

  /** Goes on with what an earlier run had attached: what servers offer by now is attached afterwards. */
  async resume(): Promise<void> {
    const { nodes, remembered } = this.#options;
    this.#missing = readRemembered(remembered);
    await this.#inTurn(async () => {
      const explored = Promise.all(this.#namespaces.map((namespace) => namespace.explore()));
      // Who waits since the run before has waited long enough.
      for (const kept of await nodes.start(this.#missing.flatMap(({ nbd }) => nbd ?? []))) await this.#adopt(kept);
      await explored;
      await this.#attachMissing();
      this.#remember();
    });
  }

  /** `NAMESPACE:NAME`, `NAME`; nothing: all that is offered. */
  attach(wanted: string | undefined, force: boolean): Promise<AttachReply> {
    return this.#inTurn(() => this.#attach(wanted, force));
  }

  /** The same; nothing: all that is attached. */
  detach(wanted: string | undefined, force: boolean): Promise<AttachReply> {
    return this.#inTurn(() => this.#detach(wanted, force));
  }

  resize(wanted: string, sizeBytes: number): Promise<AttachReply> {
    return this.#inTurn(() => this.#resize(wanted, sizeBytes));
  }

  /** What changes volumes goes one after the other. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** What was attached before this daemon was started, as far as there is a server for it by now. */
  async #attachMissing(): Promise<void> {
    const { clock } = this.#options;
    for (const { namespace, name } of this.#missing) {
      const space = this.#namespaces.find((one) => one.config.name === namespace);
      if (!space || this.#attached.get(namespace, name)?.remote) continue;
      // It was ours: an earlier run of this daemon may still count as its holder.
      this.#tellMissing(namespace, name, await this.#open(space, name, true));
    }
    this.#missing = this.#missing.filter(({ namespace, name }) => !this.#attached.get(namespace, name)?.remote);
    if (this.#missing.length > 0) clock.after(missingAgainMs, () => void this.#inTurn(() => this.#attachMissing()));
  }

  #tellMissing(namespace: string, name: string, error: string | null): void {
    const full = `${namespace}:${name}`;
    if (error !== null && this.#told.get(full) !== error)
      this.#options.log.write('WARNING', origin, `${full} is not attached again: ${error}`);
    if (error === null) this.#told.delete(full);
    else this.#told.set(full, error);
  }

  /** A device that users have in their hands since an earlier run: it is served at once, though its server is yet to be found. */
  async #adopt(kept: Kept): Promise<void> {
    const { namespace, name, sizeBytes, readOnly, minimumBytes } = kept.file;
    const space = this.#namespaces.find((one) => one.config.name === namespace);
    if (!space) {
      await this.#options.nodes.refuse(kept);
      return;
    }
    const { clock } = this.#options;
    const traits = { ...plainTraits, readOnly, minimumBytes };
    const awaited = new AwaitedDevice({ sizeBytes, traits, clock, waitMs: space.config.lossMs });
    const one = this.#attached.add(namespace, name, awaited, null);
    this.#awaited.set(one, awaited);
    if (!this.#missing.some((missing) => missing.namespace === namespace && missing.name === name))
      this.#missing = [...this.#missing, { namespace, name }];
    try {
      one.node = await this.#options.nodes.adopt(kept, one.served);
    } catch (error) {
      if (!(error instanceof AttachError)) throw error;
      this.#options.log.write('ERROR', origin, `${namespace}:${name}: ${error.message}`);
    }
    if (!one.node) this.#attached.remove(one);
  }

  #remember(): void {
    const attached = this.#attached.all.map(({ namespace, name, node }) => {
      const nbd = node?.node.kind === 'nbd' ? { nbd: node.node.target } : {};
      return { namespace, name, ...nbd };
    });
    try {
      const missing = this.#missing
        .filter(({ namespace, name }) => !this.#attached.get(namespace, name))
        .map(({ namespace, name }) => ({ namespace, name }));
      writeRemembered(this.#options.remembered, [...attached, ...missing]);
    } catch (error) {
      this.#options.log.write('ERROR', origin, `what is attached cannot be kept: ${(error as Error).message}`);
    }
  }

  async #attach(wanted: string | undefined, force: boolean): Promise<AttachReply> {
    const results: AttachReply['results'] = [];
    for (const namespace of this.#namespaces) {
      const { name: space } = namespace.config;
      const [first, second] = (wanted ?? '').split(':');
      if (second !== undefined && first !== space) continue;
      const lists = await Promise.all(namespace.servers.map((server) => namespace.list(server)));
      const offered = new Set(lists.flatMap((list) => list?.map(({ name }) => name) ?? []));
      for (const name of [...offered].sort()) {
        if (wanted !== undefined && name !== (second ?? first)) continue;
        if (this.#attached.get(space, name)?.remote) {
          results.push({ namespace: space, name, error: wanted === undefined ? null : 'it is attached already' });
          continue;
        }
        results.push({ namespace: space, name, error: await this.#open(namespace, name, force) });
      }
    }
    if (results.length === 0 && wanted !== undefined)
      throw new ManagementError('ENOENT', `no server offers '${wanted}'`);
    this.#remember();
    return { results };
  }

  /** Opens a volume at its servers and makes a device of it here; null, or why that cannot be: then nothing is left. */
  async #open(space: NamespaceClient, name: string, force: boolean): Promise<string | null> {
    const opened = await space.open(name, force);
    if (!opened.ok) return why(opened.errno);
    const before = this.#attached.get(space.config.name, name);
    if (before) {
      const { sizeBytes } = before.served;
      before.remote = opened.device;
      this.#awaited.get(before)?.come(opened.device);
      // Others may have let it grow meanwhile.
      return before.served.sizeBytes === sizeBytes ? null : this.#grow(before);
    }
    const one = this.#attached.add(space.config.name, name, opened.device, opened.device);
    try {
      one.node = await this.#options.nodes.make(space.config.name, name, one.served);
      return null;
    } catch (error) {
      await this.#close(one);
      if (!(error instanceof AttachError)) throw error;
      return error.message;
    }
  }

  async #close(one: Attached): Promise<void> {
    const { namespace, name } = one;
    this.#attached.remove(one);
    for (const connection of this.#options.nbd.connections)
      if (connection.exportName === `${namespace}/${name}`) connection.destroy('the device is detached');
    await one.remote?.close();
  }

  async #detach(wanted: string | undefined, force: boolean): Promise<AttachReply> {
    const results: AttachReply['results'] = [];
    const isMeant = ({ namespace, name }: Remembered[number]) =>
      wanted === undefined || wanted === name || wanted === `${namespace}:${name}`;
    for (const { namespace, name } of this.#missing.filter(isMeant))
      if (!this.#attached.get(namespace, name)) results.push({ namespace, name, error: null });
    this.#missing = this.#missing.filter((one) => !isMeant(one));
    for (const one of this.#matching(wanted)) {
      const { namespace, name } = one;
      results.push({ namespace, name, error: await this.#letGo(one, force) });
    }
    if (results.length === 0 && wanted !== undefined)
      throw new ManagementError('ENOENT', `'${wanted}' is not attached`);
    this.#remember();
    return { results };
  }

  /** Null, or why it stays. */
  async #letGo(one: Attached, force: boolean): Promise<string | null> {
    // The kernel's NBD client is a user of the endpoint, but not one that counts.
    const users = one.users - (one.node?.node.kind === 'nbd' ? 1 : 0);
    if (users > 0 && !force) return `it is in use by ${users} connections`;
    try {
      if (one.node) await this.#options.nodes.remove(one.node, force);
      if (!force && one.remote) await one.remote.flush();
    } catch (error) {
      if (error instanceof AttachError) return error.message;
      throw error;
    }
    await this.#close(one);
    return null;
  }

  #matching(wanted: string | undefined): readonly Attached[] {
    return this.#attached.all.filter(
      ({ namespace, name }) => wanted === undefined || wanted === name || wanted === `${namespace}:${name}`,
    );
  }

  async #resize(wanted: string, sizeBytes: number): Promise<AttachReply> {
    const [one, ...more] = this.#matching(wanted);
    if (!one || more.length > 0)
      throw new ManagementError(
        'ENOENT',
        `'${wanted}' ${one ? 'is attached from several namespaces' : 'is not attached'}`,
      );
    if (!one.remote) throw new ManagementError('ENOTCONN', `no server has '${wanted}' now`);
    const reply = await one.remote.resize(sizeBytes);
    const error = reply.ok ? await this.#grow(one) : why(reply.errno);
    return { results: [{ namespace: one.namespace, name: one.name, error }] };
  }

  async #grow({ node }: Attached): Promise<string | null> {
    try {
      await node?.node.grow();
      return null;
    } catch (error) {
      return `it has grown, but ${(error as Error).message}`;
    }
  }
}

function why(errno: number): string {
  const texts: Record<string, string> = {
    EBUSY: 'another client has it (with --force it is taken from it)',
    ENOENT: 'no server offers it',
    EACCES: 'the server does not let this client in',
    EPERM: 'the server does not allow it',
    EOPNOTSUPP: 'the bricks of its volume do not guard devices',
  };
  const name = errnoName(errno);
  return texts[name] ?? name;
}
