import { ManagementServer, MemoryTransport } from '@mortar/rpc';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { ReportError } from '../dump/write-report.ts';
import { SystemClock } from '../ports/clock.ts';
import { LineLog, silentTarget } from '../ports/log.ts';
import { SystemRandom } from '../ports/random.ts';
import { dumpWhenAsked } from './dump-notice.ts';
import { ManagementLink } from './link.ts';
import { serverAddress } from './open.ts';
import { ManagementVolfileSource } from './volfile-source.ts';

const clock = new SystemClock();
const log = new LineLog(silentTarget, clock);
let transport: MemoryTransport;
const ends: (() => unknown)[] = [];
beforeEach(() => {
  transport = new MemoryTransport();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

describe('a state dump that glusterd asks for', () => {
  it.each([
    ['its path', () => '/run/dump', { path: '/run/dump' }],
    [
      'why there is none',
      () => {
        throw new ReportError('no space', undefined);
      },
      { problem: 'no space' },
    ],
  ])('is answered by %s', async (_, write, expected) => {
    const server = await glusterd('one', { v: 'text' });
    const answers: unknown[] = [];
    server.method('statedump.done', z.unknown(), (params) => void answers.push(params));
    const one = link('one');
    dumpWhenAsked(one, log, write);
    await one.call('volfile.get', { id: 'v' });
    for (const params of [{ token: '7' }, { token: 7 }, { token: 'x'.repeat(65) }, null])
      server.notifyAll('statedump', params);
    await vi.waitFor(() => expect(answers).toEqual([{ token: '7', ...expected }]));
  });
});

async function glusterd(name: string, volfiles: Record<string, string>): Promise<ManagementServer> {
  const { ManagementError } = await import('@mortar/rpc');
  const server = new ManagementServer({ clock });
  server.method('volfile.get', z.object({ id: z.string() }), ({ id }) => {
    if (volfiles[id] === undefined) throw new ManagementError('NO_VOLUME', `Volume ${id} does not exist`);
    return { text: volfiles[id] };
  });
  await server.listen(transport, { kind: 'memory', name });
  ends.push(() => server.close());
  return server;
}

function link(...names: string[]): ManagementLink {
  const one = new ManagementLink({
    transport,
    servers: names.map((name) => ({ kind: 'memory', name })),
    program: 'glusterfs',
    clientId: 'c',
    clock,
    random: new SystemRandom(),
    log,
  });
  ends.push(() => one.close());
  return one;
}

describe('ManagementVolfileSource', () => {
  it('fetches by id', async () => {
    await glusterd('a', { v: 'volume...' });
    await expect(new ManagementVolfileSource(link('a'), 'v').fetch()).resolves.toEqual({
      text: 'volume...',
      name: 'v@memory:a',
    });
  });

  it('takes the first server that answers', async () => {
    await glusterd('b', { v: 'from b' });
    await expect(new ManagementVolfileSource(link('a', 'b'), 'v').fetch()).resolves.toMatchObject({ text: 'from b' });
  });

  describe('whose server is gone', () => {
    const named = (host: string) => ({ kind: 'memory', name: host }) as const;
    const served = async (name: string, text: string, servers: unknown) => {
      const server = new ManagementServer({ clock });
      server.method('volfile.get', z.object({ id: z.string() }), () => ({ text, servers }));
      await server.listen(transport, { kind: 'memory', name });
      ends.push(() => server.close());
      return server;
    };

    it('hears of changes from another one that was named, and comes back to the first when that one goes', async () => {
      const first = await served('a', 'old', ['b']);
      const other = await served('b', 'new', []);
      const source = new ManagementVolfileSource(link('a'), 'v', named);
      expect(await source.fetch()).toMatchObject({ text: 'old' });
      const seen: string[] = [];
      source.watch(async () => seen.push((await source.fetch()).text));
      await first.close();
      await vi.waitFor(() => expect(seen).toEqual(['new']), { timeout: 5000 });
      await served('a', 'newer', []);
      await other.close();
      await vi.waitFor(() => expect(seen).toEqual(['new', 'newer']), { timeout: 10_000 });
    });

    it('does not go back to what another one has that is behind, but with the one that it has from takes an older version', async () => {
      const texts = new Map([
        ['a', { text: 'now', volumeVersion: 5 }],
        ['b', { text: 'of before', volumeVersion: 4 }],
      ]);
      const serving = async (name: string) => {
        const server = new ManagementServer({ clock });
        server.method('volfile.get', z.object({ id: z.string() }), () => texts.get(name));
        await server.listen(transport, named(name));
        ends.push(() => server.close());
        return server;
      };
      const first = await serving('a');
      const other = await serving('b');
      const source = new ManagementVolfileSource(link('a', 'b'), 'v');
      const seen: string[] = [];
      const look = () =>
        source.fetch().then(
          ({ text, volumeVersion }) => seen.push(`${text} ${volumeVersion}`),
          (error: Error) => seen.push(error.message),
        );
      await look();
      // An operation that failed is undone.
      texts.set('a', { text: 'undone', volumeVersion: 4 });
      await look();
      texts.set('a', { text: 'now', volumeVersion: 5 });
      await look();
      source.watch(look);
      await first.close();
      const behind =
        'failed to fetch the volume file: memory:b is behind: it has version 4 of the volume, memory:a has told version 5';
      await vi.waitFor(() => expect(seen).toEqual(['now 5', 'undone 4', 'now 5', behind]), { timeout: 5000 });
      texts.set('b', { text: 'later', volumeVersion: 6 });
      other.notifyAll('volfile.changed', { id: 'v' });
      await vi.waitFor(() => expect(seen.at(-1)).toBe('later 6'));
    });

    it.each([['no list'], [{}], [['', 7, null, 'x'.repeat(300)]], [undefined]])(
      'keeps to what was given when what is named is nothing (%j)',
      async (servers) => {
        await served('a', 'text', servers);
        const own = link('a');
        await new ManagementVolfileSource(own, 'v', named).fetch();
        expect(own.serverNames).toEqual(['memory:a']);
      },
    );

    it('keeps so many of them', async () => {
      await served(
        'a',
        'text',
        Array.from({ length: 500 }, (_, i) => `n${i}`),
      );
      const own = link('a');
      await new ManagementVolfileSource(own, 'v', named).fetch();
      expect(own.serverNames).toHaveLength(65);
    });
  });

  it('says who refused and why', async () => {
    await glusterd('a', {});
    await expect(new ManagementVolfileSource(link('a'), 'v').fetch()).rejects.toThrow(
      "failed to fetch the volume file: memory:a has no volfile 'v' for this process: Volume v does not exist",
    );
  });

  it('says when nobody answers', async () => {
    await expect(new ManagementVolfileSource(link('a', 'b'), 'v').fetch()).rejects.toThrow('nobody listens');
  });

  it('hears of changes of its own volfile only', async () => {
    const server = await glusterd('a', { v: '' });
    const source = new ManagementVolfileSource(link('a'), 'v');
    const changed = vi.fn();
    await source.fetch();
    source.watch(changed);
    server.notifyAll('volfile.changed', { id: 'other' });
    server.notifyAll('volfile.changed', { id: 'v' });
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(1));
  });

  it('does not miss a change that comes before it is watched', async () => {
    const server = await glusterd('a', { v: '' });
    const source = new ManagementVolfileSource(link('a'), 'v');
    await source.fetch();
    server.notifyAll('volfile.changed', { id: 'v' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const changed = vi.fn();
    source.watch(changed);
    expect(changed).toHaveBeenCalledTimes(1);
  });

  it('comes back after glusterd was away, on another server if need be, and looks for changes then', async () => {
    const first = await glusterd('a', { v: 'old' });
    await glusterd('b', { v: 'new' });
    const one = link('a', 'b');
    const source = new ManagementVolfileSource(one, 'v');
    await source.fetch();
    const changed = vi.fn();
    source.watch(changed);
    await first.close();
    await vi.waitFor(() => expect(changed).toHaveBeenCalled(), 20_000);
    await expect(source.fetch()).resolves.toMatchObject({ text: 'new' });
  });
});

describe('a connection that is for several volumes', () => {
  const server = async () => {
    const unwatched: string[] = [];
    const one = await glusterd('a', { 'shd/v': '', 'shd/w': '' });
    one.method('volfile.unwatch', z.object({ id: z.string() }), ({ id }) => void unwatched.push(id));
    return { one, unwatched };
  };
  const volumes = ['v', 'w'] as const;

  async function opened() {
    const shared = link('a');
    const heard: string[] = [];
    const sources = volumes.map((name) => new ManagementVolfileSource(shared, `shd/${name}`, undefined, name));
    for (const [i, source] of sources.entries()) {
      await source.fetch();
      source.watch(() => heard.push(`changed ${volumes[i]}`));
      source.onBrickStarted(() => heard.push(`brick of ${volumes[i]}`));
    }
    return { shared, heard, v: sources[0]! };
  }

  it('tells each what is of its volume, and nothing more when it is closed', async () => {
    const { one, unwatched } = await server();
    const { heard, v } = await opened();
    const tell = () => {
      for (const volume of ['v', 'w', 'x']) one.notifyAll('brick.started', { volume });
      for (const id of ['shd/v', 'shd/w', 'w']) one.notifyAll('volfile.changed', { id });
    };
    tell();
    const ofW = ['brick of w', 'changed w'];
    await vi.waitFor(() => expect(heard.sort()).toEqual(['brick of v', 'brick of w', 'changed v', 'changed w']));
    await v.close();
    expect(unwatched).toEqual(['shd/v']);
    heard.length = 0;
    tell();
    await vi.waitFor(() => expect(heard.sort()).toEqual(ofW));
  });

  it('has forgotten a closed one after a new connection, too', async () => {
    const { one } = await server();
    const { heard, v, shared } = await opened();
    await v.close();
    await one.close();
    const again = await server();
    await vi.waitFor(() => expect(shared.isUp).toBe(true), 20_000);
    heard.length = 0;
    again.one.notifyAll('volfile.changed', { id: 'shd/v' });
    again.one.notifyAll('volfile.changed', { id: 'shd/w' });
    await vi.waitFor(() => expect(heard).toEqual(['changed w']));
  });
});

it('leaves no timer when it is closed while it waits to try again', async () => {
  let waiting = 0;
  const counted = {
    ...clock,
    nowMs: () => clock.nowMs(),
    wall: () => clock.wall(),
    sleep: (ms: number) => clock.sleep(ms),
    after: (ms: number, callback: () => void) => {
      waiting++;
      const timer = clock.after(ms, callback);
      const cancel = () => {
        waiting--;
        timer.cancel();
      };
      return { cancel };
    },
  };
  const one = new ManagementLink({
    transport,
    servers: [{ kind: 'memory', name: 'nobody' }],
    program: 'glusterfs',
    clientId: 'c',
    clock: counted,
    random: new SystemRandom(),
    log,
  });
  one.keep();
  await vi.waitFor(() => expect(waiting).toBe(1));
  one.close();
  expect(waiting).toBe(0);
});

it.each([
  ['h', 'socket', { kind: 'tcp', host: 'h', port: 24007 }],
  ['h:24009', 'tcp', { kind: 'tcp', host: 'h', port: 24009 }],
  ['fe80::1%eth0', 'socket', { kind: 'tcp', host: 'fe80::1%eth0', port: 24007 }],
  ['[::1]:24009', 'socket', { kind: 'tcp', host: '::1', port: 24009 }],
  ['/run/x.socket', 'unix', { kind: 'unix', path: '/run/x.socket' }],
])('reads the server %s', (text, kind, address) => {
  expect(serverAddress(text, kind, 24007)).toEqual(address);
});
