import { Errno, Fd, type Flock, type Gfid, locOf } from '@mortar/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Rig, rig, rigCall, settle } from '../../lib/translator-rig.ts';
import { type Locks, xlator } from './index.ts';

const files = ['aa', 'bb'].map((end) => `00000000-0000-0000-0000-0000000000${end}` as Gfid);
const clients = ['c1', 'c2'];
const owners = ['01', '02'];
/** Requests start and end within this many bytes, or go on for ever: one more cell stands for all that is behind. */
const bytes = 8;
const domain = 'd';

interface Step {
  action: 'try' | 'wait' | 'unlock' | 'cancel' | 'end';
  client: number;
  owner: number;
  file: number;
  type: 'read' | 'write';
  start: number;
  length: number;
}

const steps = fc.array(
  fc
    .record<Step>({
      action: fc.constantFrom('try', 'wait', 'wait', 'wait', 'unlock', 'unlock', 'cancel', 'end'),
      client: fc.nat(1),
      owner: fc.nat(1),
      file: fc.nat(1),
      type: fc.constantFrom('read', 'write'),
      start: fc.nat(bytes - 1),
      length: fc.integer({ min: 0, max: bytes }),
    })
    .map((step) => ({ ...step, length: Math.min(step.length, bytes - step.start) })),
  { maxLength: 60 },
);

/** A request that was sent: what came of it, if anything yet. */
interface Sent {
  id: number;
  who: string;
  step: Step;
  abort: AbortController;
  errno: number | undefined;
  fence: number | undefined;
}

type Cells = ('read' | 'write' | undefined)[];

function covered({ start, length }: Pick<Step, 'start' | 'length'>): number[] {
  const end = length === 0 ? bytes + 1 : start + length;
  return Array.from({ length: end - start }, (_, i) => start + i);
}

/** POSIX locks the simple way: a cell for each byte and owner. */
class ByteModel {
  readonly held = files.map(() => new Map<string, Cells>());
  waiting: Sent[] = [];
  readonly done = new Map<number, number>();

  blockers(who: string, step: Step): string[] {
    return [...this.held[step.file]!]
      .filter(([other]) => other !== who)
      .filter(([, cells]) => covered(step).some((at) => cells[at] && (cells[at] === 'write' || step.type === 'write')))
      .map(([other]) => other);
  }

  /** All who somebody waits for, directly or not, found by closure. */
  reach(from: readonly string[]): Set<string> {
    const reached = new Set(from);
    for (let size = -1; size !== reached.size; ) {
      size = reached.size;
      for (const { who, step } of this.waiting)
        if (reached.has(who)) for (const other of this.blockers(who, step)) reached.add(other);
    }
    return reached;
  }

  ask(sent: Sent): void {
    const { who, step, id } = sent;
    const blockers = this.blockers(who, step);
    if (blockers.length === 0) {
      this.#write(who, step, step.type);
      this.done.set(id, 0);
      this.wake();
    } else if (step.action === 'try') this.done.set(id, Errno.EAGAIN);
    else if (this.reach(blockers).has(who)) this.done.set(id, Errno.EDEADLK);
    else this.waiting.push(sent);
  }

  #write(who: string, step: Step, type: 'read' | 'write' | undefined): void {
    const file = this.held[step.file]!;
    const cells = file.get(who) ?? [];
    for (const at of covered(step)) cells[at] = type;
    file.set(who, cells);
  }

  unlock(who: string, step: Step): void {
    this.#write(who, step, undefined);
    this.wake();
  }

  leave(gone: (who: string) => boolean, errno: number): void {
    for (const { id, who } of this.waiting) if (gone(who)) this.done.set(id, errno);
    this.waiting = this.waiting.filter(({ who }) => !gone(who));
  }

  end(client: string): void {
    this.leave((who) => who.startsWith(client), Errno.ENOTCONN);
    for (const file of this.held) for (const who of [...file.keys()]) if (who.startsWith(client)) file.delete(who);
    this.wake();
  }

  wake(): void {
    for (const sent of [...this.waiting]) {
      if (this.blockers(sent.who, sent.step).length > 0) continue;
      this.waiting = this.waiting.filter((other) => other !== sent);
      this.#write(sent.who, sent.step, sent.step.type);
      this.done.set(sent.id, 0);
      this.wake();
      return;
    }
  }

  cells(file: number): Record<string, string> {
    const shown = [...this.held[file]!].map(([who, cells]) => [who, show(cells)] as const);
    return Object.fromEntries(shown.filter(([, text]) => /[rw]/.test(text)));
  }
}

function show(cells: Cells): string {
  return Array.from({ length: bytes + 1 }, (_, at) => cells[at]?.[0] ?? '.').join('');
}

function cellsOf(r: Rig<Locks>, file: number): Record<string, string> {
  const found = new Map<string, Cells>();
  for (const lock of r.xlator.list()) {
    if (lock.gfid !== files[file] || lock.state !== 'granted') continue;
    const who = `${lock.clientId}/${lock.owner}`;
    const cells = found.get(who) ?? [];
    for (const at of covered({ start: lock.start!, length: lock.length! })) {
      expect(cells[at], 'locks of one owner overlap').toBeUndefined();
      cells[at] = lock.type;
    }
    found.set(who, cells);
  }
  return Object.fromEntries([...found].map(([who, cells]) => [who, show(cells)]));
}

function flockOf({ type, start, length, owner }: Step, unlock = false): Flock {
  return { type: unlock ? 'unlock' : type, start, length, owner: owners[owner]!, pid: 1 };
}

describe('any schedule of POSIX locks', () => {
  it('goes as in a model with a cell for each byte', async () => {
    const run = async (schedule: Step[]) => {
      const r = await rig<typeof xlator.options, Locks>(xlator);
      const model = new ByteModel();
      const all: Sent[] = [];
      for (const step of schedule) {
        const client = clients[step.client]!;
        const who = `${client}/${owners[step.owner]!}`;
        const waits = model.waiting.find((sent) => sent.who === who);
        const fd = new Fd(files[step.file]!);
        if (step.action === 'end') {
          model.end(client);
          r.xlator.notify({ type: 'session-ended', clientId: client }, null);
        } else if (step.action === 'cancel') {
          if (!waits) continue;
          model.leave((other) => other === who, Errno.EINTR);
          waits.abort.abort();
        } else if (waits) continue;
        else if (step.action === 'unlock') {
          model.unlock(who, step);
          await r.xlator.ops.lk(rigCall(client), { fd, command: 'set', flock: flockOf(step, true) });
        } else {
          const sent: Sent = {
            id: all.length,
            who,
            step,
            abort: new AbortController(),
            errno: undefined,
            fence: undefined,
          };
          all.push(sent);
          model.ask(sent);
          const command = step.action === 'try' ? 'set' : 'wait';
          const call = rigCall(client, { signal: sent.abort.signal });
          void r.xlator.ops.lk(call, { fd, command, flock: flockOf(step) }).then((reply) => {
            sent.errno = reply.ok ? 0 : reply.errno;
          });
        }
        await settle();
        expect(all.map(({ id, errno }) => [id, errno])).toEqual(all.map(({ id }) => [id, model.done.get(id)]));
        for (const file of [0, 1]) expect(cellsOf(r, file)).toEqual(model.cells(file));
        for (const { who: waiter, step: wish } of model.waiting)
          expect(model.reach(model.blockers(waiter, wish)).has(waiter), 'a circle of waiters').toBe(false);
      }
      for (const client of clients) r.xlator.notify({ type: 'session-ended', clientId: client }, null);
      expect(r.xlator.dump()).toMatchObject({ inodes: 0 });
      expect(r.services.inodes.stats().active).toBe(1);
    };
    await fc.assert(fc.asyncProperty(steps, run), { numRuns: 300 });
  });
});

function conflict(a: Step, b: Step): boolean {
  if (a.type === 'read' && b.type === 'read') return false;
  return covered(a).some((at) => covered(b).includes(at));
}

/** Sends a step as inodelk, or as entrylk of a name (length 0: the whole directory). */
function send(
  r: Rig<Locks>,
  kind: 'inodelk' | 'entrylk',
  step: Step,
  command: 'try' | 'wait' | 'unlock',
  signal?: AbortSignal,
) {
  const call = rigCall(clients[step.client]!, { lockOwner: owners[step.owner]!, ...(signal ? { signal } : {}) });
  const loc = locOf(files[step.file]!);
  if (kind === 'inodelk') return r.xlator.ops.inodelk(call, { loc, domain, command, flock: flockOf(step) });
  const name = step.length === 0 ? {} : { name: `n${step.start}` };
  return r.xlator.ops.entrylk(call, { loc, domain, command, type: step.type, ...name });
}

describe.each(['inodelk', 'entrylk'] as const)('any schedule of %s', (kind) => {
  const asEntry = (step: Step): Step => (step.length === 0 ? { ...step, start: 0 } : { ...step, length: 1 });

  it('grants without conflict, in order, to everyone whom nobody keeps out, with growing fences', async () => {
    const run = async (schedule: Step[]) => {
      const r = await rig<typeof xlator.options, Locks>(xlator);
      let held: Sent[] = [];
      let waiting: Sent[] = [];
      let lastFence = 0;
      let over = false;
      const wrong: string[] = [];
      const grant = (sent: Sent) => {
        waiting = waiting.filter((other) => other !== sent);
        const reenters = held.some((lock) => lock.who === sent.who && lock.step.file === sent.step.file);
        if (held.some((lock) => lock.who !== sent.who && clash(lock, sent))) wrong.push('two conflicting grants');
        if (!reenters && waiting.some((earlier) => earlier.id < sent.id && clash(earlier, sent)))
          wrong.push('past an earlier one');
        if (sent.step.type === 'read' ? sent.fence !== undefined : !(sent.fence! > lastFence))
          wrong.push('a bad fence');
        lastFence = sent.fence ?? lastFence;
        held.push(sent);
      };
      const clash = (a: Sent, b: Sent) => a.step.file === b.step.file && conflict(a.step, b.step);
      let count = 0;
      for (const raw of schedule) {
        const step = kind === 'entrylk' ? asEntry(raw) : raw;
        const client = clients[step.client]!;
        const who = `${client}/${owners[step.owner]!}`;
        if (step.action === 'end') {
          held = held.filter((lock) => !lock.who.startsWith(client));
          r.xlator.notify({ type: 'session-ended', clientId: client }, null);
        } else if (step.action === 'cancel') waiting.find((sent) => sent.who === who)?.abort.abort();
        else if (step.action === 'unlock') {
          const mine = held.findLast((lock) => lock.who === who && lock.step.file === step.file);
          if (!mine) continue;
          // Before the request: its own reply is seen later than the grants that it allows.
          held = held.filter((lock) => lock !== mine);
          expect((await send(r, kind, mine.step, 'unlock')).ok).toBe(true);
        } else {
          const sent: Sent = {
            id: count++,
            who,
            step,
            abort: new AbortController(),
            errno: undefined,
            fence: undefined,
          };
          waiting.push(sent);
          void send(r, kind, step, step.action, sent.abort.signal).then((reply) => {
            sent.errno = reply.ok ? 0 : reply.errno;
            if (reply.ok) sent.fence = reply.fence;
            if (over) return;
            if (reply.ok) grant(sent);
            else waiting = waiting.filter((other) => other !== sent);
          });
        }
        await settle();
        expect(wrong).toEqual([]);
        for (const sent of waiting) {
          const blocked =
            held.some((lock) => lock.who !== sent.who && clash(lock, sent)) ||
            (waiting.some((earlier) => earlier.id < sent.id && clash(earlier, sent)) &&
              !held.some((lock) => lock.who === sent.who && lock.step.file === sent.step.file));
          expect(blocked, 'waits for nobody').toBe(true);
        }
        const states = r.xlator.list().map(({ state }) => state);
        expect(states.filter((state) => state === 'granted')).toHaveLength(held.length);
        expect(states.filter((state) => state === 'blocked')).toHaveLength(waiting.length);
      }
      over = true;
      for (const client of clients) r.xlator.notify({ type: 'session-ended', clientId: client }, null);
      expect(r.xlator.dump()).toMatchObject({ inodes: 0, fences: 0 });
      expect(r.services.clock.pending).toBe(0);
    };
    const freedByAnother: Step[] = [
      { action: 'try', client: 1, owner: 0, file: 0, type: 'write', start: 1, length: 1 },
      { action: 'wait', client: 0, owner: 0, file: 0, type: 'read', start: 0, length: 0 },
      { action: 'wait', client: 0, owner: 1, file: 0, type: 'write', start: 0, length: 1 },
      { action: 'try', client: 0, owner: 1, file: 0, type: 'read', start: 2, length: 1 },
    ];
    await fc.assert(fc.asyncProperty(steps, run), { numRuns: 200, examples: [[freedByAnother]] });
  });
});
