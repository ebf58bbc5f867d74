import { type Args, type Call, Errno, Fd, fail, type Gfid, type Reply, rootCall, type Subvolume } from '@mortar/core';
import { xlator as locksType } from '@mortar/xlators/features/locks/index.ts';
import { rig, settle } from '@mortar/xlators/lib/translator-rig.ts';
import { beforeEach, expect, it } from 'vitest';
import { SystemClock } from '../ports/clock.ts';
import { LineLog, silentTarget } from '../ports/log.ts';
import { HostServices } from '../services.ts';
import type { ServedGraph } from './graphs.ts';
import { type HeldLock, LockBook } from './lock-book.ts';
import { OpenFile, OpenFiles } from './open-files.ts';

const gfid = '11111111-2222-3333-4444-555555555555' as Gfid;

class TestFile extends OpenFile {
  readonly locks = new LockBook();

  heldLocks(): readonly HeldLock[] {
    return this.locks.of(1);
  }

  lockLost({ owner, start, end }: HeldLock): void {
    this.locks.clear(owner, start, end);
  }
}

/** One lock for the whole brick; each graph is a client of its own. */
class Brick {
  holder: string | null = null;
  readonly waiting: { client: string; grant: () => void }[] = [];
  readonly released: string[] = [];

  graph(client: string): Subvolume {
    const lk = async (call: Call, { command, flock }: Args<'lk'>): Promise<Reply<'lk'>> => {
      if (flock.type === 'unlock') {
        if (this.holder === client) this.#next();
        return { ok: true, flock };
      }
      if (this.holder === null || this.holder === client) this.holder = client;
      else if (command === 'set') return fail(Errno.EAGAIN);
      else
        await new Promise<void>((grant) => {
          this.waiting.push({ client, grant });
          call.signal?.addEventListener('abort', () => grant());
        });
      return this.holder === client ? { ok: true, flock } : fail(Errno.EINTR);
    };
    const open = async (_: Call, { fd }: Args<'open'>): Promise<Reply<'open'>> => {
      fd.onRelease(() => this.released.push(client));
      return { ok: true };
    };
    return { lk, open } as unknown as Subvolume;
  }

  #next(): void {
    const next = this.waiting.shift();
    this.holder = next?.client ?? null;
    next?.grant();
  }
}

let brick: Brick;
let files: OpenFiles;
let file: TestFile;

beforeEach(async () => {
  brick = new Brick();
  const clock = new SystemClock();
  const services = new HostServices(new LineLog(silentTarget, clock), clock);
  files = new OpenFiles({
    services,
    clientId: '',
    origin: 'test',
    graphWaitMs: 1000,
    all: () => (file?.isClosed ? [] : [file]),
  });
  await files.setGraph(brick.graph('a'));
  const fd = new Fd(gfid, 2);
  fd.onRelease(() => brick.released.push('a'));
  file = new TestFile(gfid, 2, false, fd, files.graphs.current as ServedGraph);
});

it('takes a lock over from the graph before, to which it belongs as far as bricks know', async () => {
  brick.holder = 'a';
  file.locks.set({ owner: '01', type: 'write', start: 0, end: 10, pid: 1, fh: 1 });
  await files.setGraph(brick.graph('b'));
  expect([brick.holder, file.locks.size, file.graph === files.graphs.current]).toEqual(['b', 1, true]);
  expect(brick.released).toEqual(['a']);
});

it('takes a lock over that others have been waiting for', async () => {
  const { xlator } = await rig(locksType);
  /** As protocol/client calls itself in each graph of a process. */
  const session = (process: string, graph: number) => `${process}-1800000000-00000000000${graph}-vol-client-0`;
  const lk = (
    clientId: string,
    command: 'get' | 'set' | 'wait',
    type: 'write' | 'unlock',
    owner: string,
    fd = new Fd(gfid, 2),
  ) =>
    xlator.ops.lk(
      { ...rootCall(new SystemClock()), clientId },
      { fd, command, flock: { type, start: 0, length: 0, owner, pid: 1 } },
    );
  const graph = (clientId: string): Subvolume => {
    const own = (call: Call, args: Args<'lk'>) => xlator.ops.lk({ ...call, clientId }, args);
    return { lk: own, open: async () => ({ ok: true }) } as unknown as Subvolume;
  };
  await files.setGraph(graph(session('node1-11', 1)));
  expect((await lk(session('node1-11', 1), 'set', 'write', '01')).ok).toBe(true);
  file.locks.set({ owner: '01', type: 'write', start: 0, end: Number.POSITIVE_INFINITY, pid: 1, fh: 1 });
  let another = '';
  const waiting = lk(session('node2-22', 3), 'wait', 'write', '02').then((reply) => {
    another = reply.ok ? 'has it' : 'was refused';
  });
  await files.setGraph(graph(session('node1-11', 2)));
  await settle();
  expect([file.locks.size, another]).toEqual([1, '']);
  await lk(session('node1-11', 2), 'set', 'unlock', '01');
  await waiting;
  expect(another).toBe('has it');
}, 20_000);

it('moves what a request opened in the graph before after it had moved', async () => {
  const before = files.graphs.current as ServedGraph;
  before.begin();
  const moved = files.setGraph(brick.graph('b'));
  await files.move(file);
  const late = new TestFile(gfid, 2, false, new Fd(gfid, 2), before);
  file = late;
  before.end();
  await moved;
  expect(late.graph).toBe(files.graphs.current);
});

it('lets go of a file that is closed while it moves', async () => {
  const moving = files.setGraph(brick.graph('b'));
  file.isClosed = true;
  await moving;
  expect(file.graph).not.toBe(files.graphs.current);
  expect(brick.released).toEqual(['b']);
});
