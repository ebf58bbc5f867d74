import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { nodePost } from '../node/post.ts';
import type { Webhook } from '../store/documents.ts';
import { Rig } from '../testing/rig.ts';
import { EventSender, type GlusterEvent, withoutSecrets } from './sender.ts';

const url = 'http://hook.example/events';

/** Time passes when it is told to. */
function world(webhooks: Webhook[] = [{ url }]) {
  const timers: (() => void)[] = [];
  const sent: { url: string; event: GlusterEvent; headers: Record<string, string> }[] = [];
  const lines: string[] = [];
  let answer: () => Promise<number> = async () => 200;
  const sender = new EventSender({
    clock: {
      nowMs: () => 0,
      wall: () => ({ sec: 1700000000, nsec: 0 }),
      after: (_ms, wake) => {
        timers.push(wake);
        return { cancel: () => undefined };
      },
      sleep: async () => undefined,
    },
    log: { level: 'INFO', setLevel: () => undefined, write: (_level, _origin, text) => void lines.push(text) },
    node: () => 'node-id',
    webhooks: () => webhooks,
    post: async (to, body, headers) => {
      sent.push({ url: to, event: JSON.parse(body) as GlusterEvent, headers });
      return answer();
    },
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const wake = async () => {
    for (const timer of timers.splice(0)) timer();
    await settle();
  };
  const answers = (next: typeof answer) => {
    answer = next;
  };
  return { sender, sent, lines, settle, wake, answers };
}

function withResolvers() {
  const made = { resolve: (_status: number): void => undefined, promise: Promise.resolve(0) };
  made.promise = new Promise<number>((resolve) => {
    made.resolve = resolve;
  });
  return made;
}

describe('events', () => {
  it('have the form that eventsd has', async () => {
    const { sender, sent, settle } = world([{ url, token: 'secret' }]);
    sender.emit('VOLUME_CREATE', { name: 'v' });
    await settle();
    expect(sent).toEqual([
      {
        url,
        event: { nodeid: 'node-id', ts: 1700000000, event: 'VOLUME_CREATE', message: { name: 'v' } },
        headers: { 'Content-Type': 'application/json', Authorization: 'Bearer secret' },
      },
    ]);
  });

  it('come in order, and are tried again', async () => {
    const { sender, sent, settle, wake, answers } = world();
    answers(async () => 503);
    sender.emit('VOLUME_START', { name: 'v' });
    sender.emit('VOLUME_STOP', { name: 'v' });
    await settle();
    expect(sent.map(({ event }) => event.event)).toEqual(['VOLUME_START']);
    answers(async () => 200);
    await wake();
    await settle();
    expect(sent.map(({ event }) => event.event)).toEqual(['VOLUME_START', 'VOLUME_START', 'VOLUME_STOP']);
  });

  it('are given up in the end, with a line that tells no secret', async () => {
    const { sender, sent, lines, settle, wake, answers } = world([{ url: 'http://u:p@h/x?key=k' }]);
    answers(async () => Promise.reject(new Error('ECONNREFUSED')));
    sender.emit('PEER_ATTACH', { host: 'h' });
    await settle();
    for (let i = 0; i < 5; i++) await wake();
    expect(sent).toHaveLength(4);
    expect(lines).toEqual(['webhook http://h/x: PEER_ATTACH is given up: ECONNREFUSED']);
  });

  it('are bounded: the oldest go first', async () => {
    const { sender, sent, lines, settle, answers } = world();
    const { promise: slow, resolve: go } = withResolvers();
    answers(() => slow);
    for (let i = 0; i < 1100; i++) sender.emit('VOLUME_SET', { name: `${i}` });
    await settle();
    answers(async () => 200);
    go(200);
    await expect.poll(() => sent.length).toBe(1001);
    expect(sent.slice(0, 2).map(({ event }) => event.message.name)).toEqual(['0', '100']);
    expect(lines.join()).toMatch(/does not keep up.*answers again; 99 events were dropped/);
  });

  it('go to nobody who was removed', async () => {
    const webhooks = [{ url }];
    const { sender, sent, settle, wake, answers } = world(webhooks);
    answers(async () => 500);
    sender.emit('VOLUME_START', { name: 'v' });
    await settle();
    webhooks.length = 0;
    await wake();
    expect(sent).toHaveLength(1);
  });
});

describe('webhooks', () => {
  it('are added, tried, told, changed and removed; their tokens stand in no history', async () => {
    const heard: unknown[] = [];
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (data: Buffer) => {
        text += data.toString();
      });
      request.on('end', () => {
        heard.push([request.headers.authorization, (JSON.parse(text) as GlusterEvent).event]);
        response.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const hook = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const rig = new Rig();
    rig.post = nodePost;
    await rig.start();
    await rig.done({ verb: 'events.webhook-add', url: hook, token: 'abc' });
    expect(await rig.refusal({ verb: 'events.webhook-add', url: hook })).toBe('Webhook already exists');
    expect(await rig.done({ verb: 'events.webhook-test', url: hook })).toEqual({ result: 'OK' });
    await rig.done(rig.createRequest('v', [rig.brick('b')]));
    await expect
      .poll(() => heard)
      .toEqual([
        [undefined, 'TEST'],
        ['Bearer abc', 'VOLUME_CREATE'],
      ]);
    expect(await rig.done({ verb: 'events.status' })).toEqual({
      webhooks: [hook],
      nodes: [{ node: 'localhost', up: true }],
    });
    await rig.done({ verb: 'events.webhook-del', url: hook });
    expect(await rig.refusal({ verb: 'events.webhook-mod', url: hook })).toBe('Webhook does not exists');
    const closed = `http://127.0.0.1:1/`;
    expect((await rig.done({ verb: 'events.webhook-test', url: closed })).result).toBe('NOT OK: ECONNREFUSED');
    server.close();
    await rig.daemon.close();
    rmSync(rig.root, { recursive: true });
  });

  it('show neither password nor query', () => {
    expect(withoutSecrets('https://u:p@h:8/path?token=x#y')).toBe('https://h:8/path');
  });
});
