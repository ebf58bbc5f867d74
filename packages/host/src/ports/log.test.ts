import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SystemClock } from './clock.ts';
import { FileTarget, LineLog, localStamp, stamp } from './log.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mortar-log-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = () => new LineLog(new FileTarget(join(folder, 'a.log')), new SystemClock());
const text = (name = 'a.log') => readFileSync(join(folder, name), 'utf8');

describe('LineLog', () => {
  it("writes GlusterFS's line form", () => {
    open().write('ERROR', 'v-replicate-0', 'it broke', 108006);
    expect(text()).toMatch(
      /^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \+0000\] E \[MSGID: 108006\] \[v-replicate-0\] 0-v-replicate-0: it broke\n$/,
    );
  });

  it('leaves the id out when there is none', () => {
    open().write('INFO', 'x', 'text');
    expect(text()).toMatch(/\+0000\] I \[x\] 0-x: text\n$/);
  });

  it('drops what is louder than its level, and takes a new level at once', () => {
    const log = open();
    log.write('DEBUG', 'x', 'one');
    log.setLevel('DEBUG');
    log.write('DEBUG', 'x', 'two');
    log.setLevel('NONE');
    log.write('CRITICAL', 'x', 'three');
    expect(text()).toMatch(/^[^\n]*two\n$/);
  });

  it('takes a level for one origin alone, and names the source where there is one', () => {
    const log = open();
    log.setLevel('TRACE', 'a');
    log.setLevel('NONE', 'b');
    expect([log.level, log.wants('TRACE', 'a'), log.wants('DEBUG', 'x'), log.wants('NONE', 'x')]).toEqual([
      'INFO',
      true,
      false,
      false,
    ]);
    log.write('TRACE', 'a', 'one', undefined, 'rpc-clnt.c');
    log.write('CRITICAL', 'b', 'two');
    log.write('DEBUG', 'x', 'three');
    expect(text()).toMatch(/^[^\n]* T \[rpc-clnt\.c\] 0-a: one\n$/);
  });

  it('keeps a message with newlines and control characters on one line', () => {
    open().write('INFO', 'x', 'a\nb\x1b[31m');
    expect(text()).toMatch(/a \| b\?\[31m\n$/);
  });

  it('appends behind what others wrote into the file', () => {
    const log = open();
    log.write('INFO', 'x', 'one');
    appendFileSync(join(folder, 'a.log'), 'G_LOG: test starts\n');
    log.write('INFO', 'x', 'two');
    expect(text()).toMatch(/one\nG_LOG: test starts\n.*two\n$/);
  });

  it('goes on in a new file after a rotation', () => {
    const log = open();
    log.write('INFO', 'x', 'one');
    renameSync(join(folder, 'a.log'), join(folder, 'a.log.1'));
    log.write('INFO', 'x', 'two');
    log.reopen();
    log.write('INFO', 'x', 'three');
    expect(text('a.log.1')).toMatch(/two\n$/);
    expect(text()).toMatch(/^.*three\n$/);
  });
});

it('stamps microseconds of UTC', () => {
  expect(stamp({ sec: 1_700_000_001, nsec: 4_321_999 })).toBe('2023-11-14 22:13:21.004321');
});

describe('local time', () => {
  const zone = process.env.TZ;
  afterEach(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it.each([
    ['UTC', '2023-11-14 22:13:21.004321 +0000'],
    ['Asia/Kolkata', '2023-11-15 03:43:21.004321 +0530'],
    ['America/St_Johns', '2023-11-14 18:43:21.004321 -0330'],
  ])('in %s', (name, expected) => {
    process.env.TZ = name;
    expect(localStamp({ sec: 1_700_000_001, nsec: 4_321_999 })).toBe(expected);
  });

  it('is in the lines while it is wanted', () => {
    process.env.TZ = 'Asia/Kolkata';
    const lines: string[] = [];
    const target = { write: (line: string) => void lines.push(line), reopen() {}, close() {} };
    const clock = new SystemClock();
    clock.wall = () => ({ sec: 1_700_000_001, nsec: 0 });
    const log = new LineLog(target, clock);
    log.write('INFO', 'x', 'one');
    log.inLocalTime = () => true;
    log.write('INFO', 'x', 'two');
    expect(lines).toEqual([
      '[2023-11-14 22:13:21.000000 +0000] I [x] 0-x: one\n',
      '[2023-11-15 03:43:21.000000 +0530] I [x] 0-x: two\n',
    ]);
  });
});
