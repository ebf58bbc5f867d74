/** What clients do in a run, and what of it must be true afterwards. */
import { Errno, Fd, FileType, type Gfid, locAt, locOf, newGfid, type Reply, rootGfid } from '@mortar/core';
import type { SimClient } from './client.ts';
import { type History, numbered } from './history.ts';
import type { Plan, WorkKind } from './plan.ts';
import type { SeededRandom } from './random.ts';
import { blockBytes, blockOf, blocks, check, directoryNames, type FileName, fileNames, type Scene } from './scene.ts';
import { ToldAttributes } from './told-attributes.ts';

const O_RDONLY = 0;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
/** One record of the append file. */
const recordBytes = 8;

/** The value in a block; of a torn one all of them. */
export function valueIn(data: Uint8Array): string {
  const text = Buffer.from(data).toString('latin1');
  const parts = new Set(text.match(/.{1,8}/gs) ?? []);
  return [...parts].map((part) => part.slice(0, 7)).join('+');
}

/** Files that were acknowledged as made, by name. */
export interface Made {
  readonly gfid: Gfid;
  readonly value: string | undefined;
  readonly client: string;
}

export class Worker {
  readonly #client: SimClient;
  readonly #plan: Plan;
  readonly #scene: Scene;
  readonly #history: History;
  readonly #random: SeededRandom;
  readonly #fds: Record<FileName, Fd>;
  readonly #shared: Shared;
  readonly #told: ToldAttributes | undefined;
  #count = 0;

  constructor(client: SimClient, plan: Plan, scene: Scene, history: History, random: SeededRandom, shared: Shared) {
    this.#client = client;
    this.#plan = plan;
    this.#scene = scene;
    this.#history = history;
    this.#random = random;
    this.#shared = shared;
    const say = (what: string) => this.#say(what);
    this.#told = scene.told && new ToldAttributes(client, history, random, say, scene.told);
    this.#fds = Object.fromEntries(fileNames.map((name) => [name, new Fd(scene.files[name], O_RDWR)])) as Record<
      FileName,
      Fd
    >;
  }

  async open(): Promise<void> {
    const { ops, call } = this.#client;
    for (const name of fileNames) {
      check(name, await ops.lookup(call, { loc: locAt(rootGfid, name) }));
      check(name, await ops.open(call, { loc: locOf(this.#scene.files[name]), flags: O_RDWR, fd: this.#fds[name] }));
    }
    for (const name of directoryNames) check(name, await ops.lookup(call, { loc: locAt(rootGfid, name) }));
    await this.#told?.open();
  }

  async run(isOver: () => boolean): Promise<void> {
    const { clock } = this.#client.services;
    for (let i = 0; i < this.#plan.operations && !isOver(); i++) {
      await clock.sleep(this.#random.between(0, 2 * this.#plan.thinkMs));
      await this.#one(this.#random.pick(this.#plan.work));
    }
  }

  #one(kind: WorkKind): Promise<unknown> {
    switch (kind) {
      case 'blocks':
        return this.#random.chance(0.6) ? this.#writeBlock() : this.readBlock(this.#random.integer(blocks));
      case 'append':
        return this.#append();
      case 'names':
        return this.#churn();
      case 'unique':
        return this.#random.chance(0.5) ? this.#makeUnique() : this.#makeExclusive();
      case 'truncate':
        return this.#truncate();
      case 'reopen':
        return this.#reopen(this.#random.integer(blocks));
      case 'attributes':
        return this.#random.chance(0.6) ? this.#setAttribute() : this.readAttributes();
      case 'told':
        return this.#told!.one();
    }
  }

  /** Everything that registers hold, for the end. */
  async readAll(): Promise<void> {
    for (let block = 0; block < blocks; block++) await this.readBlock(block);
    await this.readAttributes();
    await this.#told?.ask();
  }

  async #write(key: string, write: (value: string) => Promise<{ ok: boolean }>): Promise<void> {
    const value = this.#history.nextValue();
    const one = this.#history.begin(this.#client.name, 'write', key, value);
    this.#say(`write ${key} ${value}`);
    const reply = await write(value);
    if (reply.ok) this.#history.end(one);
    this.#say(`write ${key} ${value}: ${reply.ok ? 'ok' : `errno ${(reply as { errno?: number }).errno}`}`);
  }

  async #read<R extends { ok: boolean }>(
    key: string,
    read: () => Promise<R>,
    valueIn: (reply: R) => string,
  ): Promise<void> {
    const one = this.#history.begin(this.#client.name, 'read', key);
    const reply = await read();
    if (reply.ok) this.#history.end(one, valueIn(reply));
    this.#say(`read ${key}: ${reply.ok ? one.value : `errno ${(reply as { errno?: number }).errno}`}`);
  }

  #say(what: string): void {
    this.#shared.say(this.#client.name, what);
  }

  #writeBlock(): Promise<void> {
    const block = this.#random.integer(blocks);
    const { ops, call } = this.#client;
    const sync = this.#random.chance(0.1);
    return this.#write(`block ${block}`, async (value) => {
      const offset = block * blockBytes;
      const fd = this.#fds.blocks;
      const reply = await ops.writev(call, { fd, offset, data: blockOf(value), ...(sync ? { sync } : {}) });
      if (reply.ok && this.#random.chance(0.1)) await ops.fsync(call, { fd, dataOnly: false });
      return reply;
    });
  }

  readBlock(block: number): Promise<void> {
    const { uncached, call } = this.#client;
    return this.#read(
      `block ${block}`,
      () => uncached.readv(call, { fd: this.#fds.blocks, size: blockBytes, offset: block * blockBytes }),
      (reply) => (reply.ok ? valueIn(reply.data) : ''),
    );
  }

  /** As a program that opens the file for this read alone: from what comes with the open, or after it. */
  async #reopen(block: number): Promise<void> {
    const { ops, call } = this.#client;
    const gfid = this.#scene.files.blocks;
    const fd = new Fd(gfid, O_RDONLY);
    const [start, end] = [block * blockBytes, (block + 1) * blockBytes];
    await this.#read(
      `block ${block}`,
      async () => {
        const wanted = this.#plan.delegations ? {} : { contents: blocks * blockBytes };
        const opened = await ops.open(call, { loc: locOf(gfid), flags: O_RDONLY, fd, ...wanted });
        if (!opened.ok || opened.data) return opened;
        return ops.readv(call, { fd, size: blockBytes, offset: start });
      },
      (reply) => {
        const { data } = reply as { data?: Uint8Array };
        return data ? valueIn(data.length > blockBytes ? data.subarray(start, end) : data) : '';
      },
    );
    fd.release();
  }

  async #append(): Promise<void> {
    const value = this.#history.nextValue();
    const { ops, call } = this.#client;
    const data = Buffer.from(value.padEnd(recordBytes, '\n'));
    this.#shared.appended.set(value, 'begun');
    const reply = await ops.writev(call, { fd: this.#fds.append, offset: 0, data, append: true });
    if (reply.ok) this.#shared.appended.set(value, 'done');
    this.#say(`append ${value}: ${reply.ok ? 'ok' : reply.errno}`);
  }

  async #truncate(): Promise<void> {
    const { ops, call } = this.#client;
    const fd = this.#fds.truncate;
    const size = this.#random.integer(blocks * blockBytes);
    const reply = this.#random.chance(0.4)
      ? await ops.ftruncate(call, { fd, size })
      : await ops.writev(call, { fd, offset: size, data: blockOf(this.#history.nextValue()) });
    this.#say(`truncate or write at ${size}: ${reply.ok ? 'ok' : reply.errno}`);
  }

  async #setAttribute(): Promise<void> {
    const { ops, call } = this.#client;
    const loc = locOf(this.#scene.files.attributes);
    if (this.#random.chance(0.5))
      return this.#write('user.value', (value) =>
        ops.setxattr(call, { loc, xattrs: { 'user.value': Buffer.from(value) }, flags: 0 }),
      );
    return this.#write('uid', (value) => ops.setattr(call, { loc, attr: { uid: Number(value.slice(1)) } }));
  }

  async readAttributes(): Promise<void> {
    const { ops, call } = this.#client;
    const loc = locOf(this.#scene.files.attributes);
    const name = 'user.value';
    await this.#read(
      name,
      () => ops.getxattr(call, { loc, name }),
      (reply) => (reply.ok ? Buffer.from(reply.xattrs[name]!).toString() : ''),
    );
    await this.#read(
      'uid',
      () => ops.stat(call, { loc }),
      (reply) => (reply.ok ? numbered(reply.iatt.uid) : ''),
    );
  }

  async #create(name: string): Promise<{ reply: Reply<'create'>; gfid: Gfid; fd: Fd }> {
    const { ops, call, services } = this.#client;
    const gfid = newGfid(services.random);
    const fd = new Fd(gfid, O_RDWR);
    const loc = locAt(this.#scene.directories.made, name);
    const flags = O_RDWR | O_CREAT | O_EXCL;
    const reply = await ops.create(call, { loc, flags, mode: 0o644, gfid, fd });
    this.#say(`create ${name} ${gfid.slice(-6)}: ${reply.ok ? 'ok' : reply.errno}`);
    return { reply, gfid, fd };
  }

  async #makeUnique(): Promise<void> {
    const name = `${this.#client.name}-${this.#count++}`;
    const { reply, gfid, fd } = await this.#create(name);
    if (!reply.ok) return;
    const value = this.#history.nextValue();
    const written = await this.#client.ops.writev(this.#client.call, { fd, offset: 0, data: blockOf(value) });
    this.#shared.made.push({ name, gfid, value: written.ok ? value : undefined, client: this.#client.name });
    this.#say(`write ${name} ${value}: ${written.ok ? 'ok' : written.errno}`);
    fd.release();
  }

  async #makeExclusive(): Promise<void> {
    const name = `only-${this.#random.integer(12)}`;
    const { reply, gfid, fd } = await this.#create(name);
    if (reply.ok) this.#shared.made.push({ name, gfid, value: undefined, client: this.#client.name });
    fd.release();
  }

  async #churn(): Promise<void> {
    const { ops, call, services } = this.#client;
    const parent = this.#scene.directories.churn;
    const name = this.#random.pick(['a', 'b', 'c']);
    const other = this.#random.pick(['a', 'b', 'c', 'd']);
    const loc = locAt(parent, name);
    const found = await ops.lookup(call, { loc });
    if (!found.ok) {
      const gfid = newGfid(services.random);
      const reply =
        found.errno !== Errno.ENOENT
          ? found
          : this.#random.chance(0.3)
            ? await ops.mkdir(call, { loc, mode: 0o700, gfid })
            : this.#random.chance(0.2)
              ? await ops.symlink(call, { loc, target: name, gfid })
              : await ops.create(call, { loc, flags: O_RDWR | O_CREAT, mode: 0o600, gfid, fd: new Fd(gfid, O_RDWR) });
      this.#say(`make ${name} ${gfid.slice(-6)}: ${reply.ok ? 'ok' : reply.errno}`);
      return;
    }
    const { gfid, type } = found.iatt;
    const known = locAt(parent, name, gfid);
    const act = this.#random.integer(10);
    let reply: { ok: boolean; errno?: number };
    let what: string;
    if (act < 4) {
      what = `remove ${name}`;
      reply =
        type === FileType.directory
          ? await ops.rmdir(call, { loc: known, recursive: false })
          : await ops.unlink(call, { loc: known });
    } else if (act < 8) {
      what = `rename ${name} to ${other}`;
      const target = await ops.lookup(call, { loc: locAt(parent, other) });
      const to = locAt(parent, other, target.ok ? target.iatt.gfid : null);
      reply = await ops.rename(call, { from: known, to, flags: 0 });
    } else if (type === FileType.regular) {
      what = `link ${name} as ${other}`;
      reply = await ops.link(call, { from: known, to: locAt(parent, other) });
    } else {
      what = `setattr ${name}`;
      reply = await ops.setattr(call, { loc: known, attr: { gid: this.#random.integer(1000) } });
    }
    this.#say(`${what} ${gfid.slice(-6)}: ${reply.ok ? 'ok' : reply.errno}`);
  }

  /** What is wrong with what was acknowledged, as a client sees it after all is healed. */
  async verify(): Promise<string[]> {
    return [...(await this.#verifyAppends()), ...(await this.#verifyMade())];
  }

  async #verifyAppends(): Promise<string[]> {
    const { ops, call } = this.#client;
    const read = await ops.readv(call, { fd: this.#fds.append, size: 2 ** 16, offset: 0 });
    if (!read.ok) return [`the append file cannot be read at the end: errno ${read.errno}`];
    const records =
      Buffer.from(read.data)
        .toString('latin1')
        .match(/.{1,8}/gs) ?? [];
    const problems: string[] = [];
    const counts = new Map<string, number>();
    for (const record of records) {
      const value = record.slice(0, 7);
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    for (const [value, count] of counts) {
      // A failed append may leave a hole where it was only half done.
      if (/^\0*$/.test(value)) continue;
      if (!this.#shared.appended.has(value))
        problems.push(`the append file has ${JSON.stringify(value)}, which nobody wrote`);
      if (count > 1) problems.push(`${value} was appended ${count} times`);
    }
    for (const [value, state] of this.#shared.appended)
      if (state === 'done' && !counts.has(value)) problems.push(`the acknowledged append of ${value} is lost`);
    return problems;
  }

  async #verifyMade(): Promise<string[]> {
    const { ops, call } = this.#client;
    const problems: string[] = [];
    const winners = new Map<string, Made>();
    for (const made of this.#shared.made) {
      const before = winners.get(made.name);
      if (before) problems.push(`${made.name} was created exclusively by ${before.client} and by ${made.client}`);
      winners.set(made.name, made);
      const found = await ops.lookup(call, { loc: locAt(this.#scene.directories.made, made.name) });
      if (!found.ok) problems.push(`${made.name}, whose creation was acknowledged, is not there: errno ${found.errno}`);
      else if (found.iatt.gfid !== made.gfid)
        problems.push(`${made.name} is ${found.iatt.gfid.slice(-6)}, acknowledged was ${made.gfid.slice(-6)}`);
      if (!found.ok || made.value === undefined) continue;
      const fd = new Fd(made.gfid, O_RDWR);
      const read = await ops.readv(call, { fd, size: blockBytes, offset: 0 });
      const value = read.ok ? valueIn(read.data) : `errno ${read.errno}`;
      if (value !== made.value) problems.push(`${made.name} holds ${value}, acknowledged was ${made.value}`);
    }
    return problems;
  }
}

/** What the workers of a run have in common. */
export interface Shared {
  readonly appended: Map<string, 'begun' | 'done'>;
  readonly made: (Made & { name: string })[];
  say(who: string, what: string): void;
}
