/** Work on one file whose size and owner are registers: changes of each, and what any reply says of both. */
import { Fd, type Gfid, type Iatt, isKnownIatt, locAt, locOf, newGfid, type Reply, rootGfid } from '@mortar/core';
import type { SimClient } from './client.ts';
import { type History, numbered, numberIn } from './history.ts';
import type { SeededRandom } from './random.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;
const names = ['told', 'told-too'] as const;

/** A file with nothing in it, that is root's. */
export async function makeTold({ ops, call, services }: SimClient): Promise<Gfid> {
  const gfid = newGfid(services.random);
  const fd = new Fd(gfid, O_RDWR);
  const made = await ops.create(call, {
    loc: locAt(rootGfid, names[0]),
    flags: O_RDWR | O_CREAT,
    mode: 0o644,
    gfid,
    fd,
  });
  fd.release();
  if (!made.ok) throw new Error(`the file of sizes could not be made before the run: errno ${made.errno}`);
  return gfid;
}

export class ToldAttributes {
  readonly #client: SimClient;
  readonly #history: History;
  readonly #random: SeededRandom;
  readonly #say: (what: string) => void;
  readonly #gfid: Gfid;
  readonly #fd: Fd;

  constructor(client: SimClient, history: History, random: SeededRandom, say: (what: string) => void, gfid: Gfid) {
    this.#client = client;
    this.#history = history;
    this.#random = random;
    this.#say = say;
    this.#gfid = gfid;
    this.#fd = new Fd(gfid, O_RDWR);
  }

  async open(): Promise<void> {
    const { ops, call } = this.#client;
    const loc = locOf(this.#gfid);
    for (const reply of [await ops.lookup(call, { loc }), await ops.open(call, { loc, flags: O_RDWR, fd: this.#fd })])
      if (!reply.ok) throw new Error(`the file of sizes could not be opened before the run: errno ${reply.errno}`);
  }

  one(): Promise<void> {
    if (this.#random.chance(0.3)) return this.#resize();
    return this.#random.chance(0.3) ? this.#give() : this.#hear();
  }

  #resize(): Promise<void> {
    const { ops, call } = this.#client;
    return this.#write('size', (size) => ops.ftruncate(call, { fd: this.#fd, size }));
  }

  #give(): Promise<void> {
    const { ops, call } = this.#client;
    return this.#write('owner', (uid) => ops.setattr(call, { loc: locOf(this.#gfid), attr: { uid } }));
  }

  async #write(key: string, write: (number: number) => Promise<Reply<'setattr' | 'ftruncate'>>): Promise<void> {
    const value = this.#history.nextValue();
    const one = this.#history.begin(this.#client.name, 'write', key, value);
    const reply = await write(numberIn(value));
    if (reply.ok) this.#history.end(one);
    this.#say(`${key} ${value}: ${reply.ok ? 'ok' : `errno ${reply.errno}`}`);
  }

  /** Size and owner, as the reply to something else tells them. */
  async #hear(): Promise<void> {
    const [what, ask] = this.#random.pick(Object.entries(this.#questions));
    await this.hear(what, ask);
  }

  async hear(what: string, ask: () => Promise<Iatt | undefined>): Promise<void> {
    const records = ['size', 'owner'].map((key) => this.#history.begin(this.#client.name, 'read', key));
    const iatt = await ask();
    const isTold = iatt !== undefined && isKnownIatt(iatt);
    if (isTold)
      for (const [i, number] of [iatt.size, iatt.uid].entries()) this.#history.end(records[i]!, numbered(number));
    this.#say(`${what} tells ${isTold ? `size ${iatt.size}, owner ${iatt.uid}` : 'nothing'}`);
  }

  ask(): Promise<void> {
    return this.hear('stat', this.#questions.stat);
  }

  readonly #questions = {
    stat: async () => iattOf(await this.#client.ops.stat(this.#client.call, { loc: locOf(this.#gfid) })),
    lookup: async () =>
      this.#unlessNobodys(iattOf(await this.#client.ops.lookup(this.#client.call, { loc: locOf(this.#gfid) }))),
    open: async () => {
      const fd = new Fd(this.#gfid);
      const reply = await this.#client.ops.open(this.#client.call, { loc: locOf(this.#gfid), flags: 0, fd });
      fd.release();
      return reply.ok ? reply.iatt : undefined;
    },
    readv: async () => iattOf(await this.#client.ops.readv(this.#client.call, { fd: this.#fd, size: 1, offset: 0 })),
    setattr: async () => {
      const attr = { gid: this.#random.integer(1000) };
      return postOf(await this.#client.ops.setattr(this.#client.call, { loc: locOf(this.#gfid), attr }));
    },
    fsync: async () => postOf(await this.#client.ops.fsync(this.#client.call, { fd: this.#fd, dataOnly: false })),
    discard: async () =>
      postOf(await this.#client.ops.discard(this.#client.call, { fd: this.#fd, offset: 0, size: 1 })),
    rename: async () => {
      const [from, to] = this.#random.chance(0.5) ? names : [names[1], names[0]];
      const locs = { from: locAt(rootGfid, from, this.#gfid), to: locAt(rootGfid, to) };
      return this.#unlessNobodys(iattOf(await this.#client.ops.rename(this.#client.call, { ...locs, flags: 0 })));
    },
  };

  /** Of a file that nobody is right about these show some copy's, where stat says that nobody can tell. */
  async #unlessNobodys(iatt: Iatt | undefined): Promise<Iatt | undefined> {
    const isReadable = iatt && (await this.#client.ops.stat(this.#client.call, { loc: locOf(this.#gfid) })).ok;
    return isReadable ? iatt : undefined;
  }
}

function iattOf(reply: Reply<'stat' | 'lookup' | 'readv' | 'rename'>): Iatt | undefined {
  return reply.ok ? reply.iatt : undefined;
}

function postOf(reply: Reply<'setattr' | 'fsync' | 'discard'>): Iatt | undefined {
  return reply.ok ? reply.post : undefined;
}
