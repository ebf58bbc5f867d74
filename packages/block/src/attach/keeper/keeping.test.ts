import { describe, expect, it } from 'vitest';
import { Keeping } from './keeping.ts';
import { keptMax } from './protocol.ts';

const ask = (keeping: Keeping, request: unknown, ...fds: number[]) => keeping.answer(JSON.stringify(request), fds);
const record = { name: 'a' };

describe('a keeper', () => {
  it('gives back what it was given, in the order in which it came', () => {
    const keeping = new Keeping(60, ['a note']);
    expect(ask(keeping, { op: 'put', key: 'a', record }, 11)).toEqual({ reply: { ok: true }, send: null, close: [] });
    ask(keeping, { op: 'put', key: 'b', record: {} }, 12);
    const hello = ask(keeping, { op: 'hello', version: 1, keepSeconds: 5 }).reply;
    expect(hello).toMatchObject({ ok: true, count: 2, pid: process.pid, notes: ['a note'] });
    expect(keeping.keepSeconds).toBe(5);
    const first = ask(keeping, { op: 'get', index: 0 });
    expect(first).toEqual({ reply: { ok: true, key: 'a', record }, send: 11, close: [] });
    expect(ask(keeping, { op: 'get', index: 1 })).toMatchObject({ reply: { key: 'b' }, send: 12 });
    expect(ask(keeping, { op: 'get', index: 2 }).reply.ok).toBe(false);
  });

  it('closes what it drops, and what was there under a key before', () => {
    const keeping = new Keeping(60, []);
    ask(keeping, { op: 'put', key: 'a', record }, 11);
    expect(ask(keeping, { op: 'put', key: 'a', record }, 13).close).toEqual([11]);
    expect(ask(keeping, { op: 'put', key: 'a', record: { name: 'b' } }).close).toEqual([]);
    expect(ask(keeping, { op: 'get', index: 0 })).toMatchObject({ reply: { record: { name: 'b' } }, send: 13 });
    expect(ask(keeping, { op: 'drop', key: 'a' }).close).toEqual([13]);
    expect(ask(keeping, { op: 'drop', key: 'a' })).toEqual({ reply: { ok: true }, send: null, close: [] });
    expect(keeping.count).toBe(0);
  });

  it.each([
    ['rubbish', 'x'],
    ['no object', '7'],
    ['null', 'null'],
    ['an unknown request', '{"op":"fly"}'],
    ['a put without a key', '{"op":"put","record":{}}'],
    ['a put without a record', '{"op":"put","key":"a"}'],
    ['another version', '{"op":"hello","version":2}'],
    ['a place before the first', '{"op":"get","index":-1}'],
    ['a place that is none', '{"op":"get","index":"0"}'],
  ])('refuses %s, and closes what came with it', (_, packet) => {
    const keeping = new Keeping(60, []);
    const answered = keeping.answer(packet, [21, 22]);
    expect([answered.reply.ok, answered.send, answered.close]).toEqual([false, null, [21, 22]]);
  });

  it('refuses two descriptors at once, a first put without one, and more than it can keep', () => {
    const keeping = new Keeping(60, []);
    expect(ask(keeping, { op: 'put', key: 'a', record }, 1, 2)).toMatchObject({ reply: { ok: false }, close: [1, 2] });
    expect(ask(keeping, { op: 'put', key: 'a', record }).reply.ok).toBe(false);
    for (let i = 0; i < keptMax; i++) ask(keeping, { op: 'put', key: `${i}`, record }, 100 + i);
    expect(ask(keeping, { op: 'put', key: 'more', record }, 7)).toMatchObject({ reply: { ok: false }, close: [7] });
    expect(ask(keeping, { op: 'put', key: '0', record }, 8)).toMatchObject({ reply: { ok: true }, close: [100] });
  });
});
