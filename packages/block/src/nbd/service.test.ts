import { Errno } from '@mortar/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Done, done, refuse } from '../device/device.ts';
import { MemoryDevice } from '../device/memory.ts';
import { ReplyReader } from './client-rig.ts';
import { RequestHeader } from './codec.ts';
import { Command } from './constants.ts';
import { Service } from './service.ts';
import { LateDevice, sizeBytes } from './transmission-rig.ts';

let heard: string[];
let reader: ReplyReader;

beforeEach(() => {
  heard = [];
  reader = new ReplyReader(() => 0);
});

function serviceOf(device: MemoryDevice | LateDevice): Service {
  const opened = { name: 'vol', description: '', device, mayResize: false, release: () => undefined };
  return new Service(
    { opened, structured: true, extended: false, allocation: true },
    { settled: () => void heard.push('settled'), bug: (error) => void heard.push(String(error)) },
  );
}

function headerOf(type: number, cookieLow: number, length = 0): RequestHeader {
  return Object.assign(new RequestHeader(), { type, cookieLow, length });
}

/** Cookies and errors of what was answered since the last time. */
function answered(service: Service): [number, number][] {
  const before = reader.order.length;
  for (const chunk of service.replies.take().chunks) reader.feed(chunk);
  return reader.order.slice(before).map((cookie) => [cookie, reader.answers.get(cookie)!.error]);
}

async function settled(count: number): Promise<void> {
  for (let turns = 0; heard.length < count && turns < 5000; turns++) await new Promise(setImmediate);
  expect(heard).toHaveLength(count);
}

describe('A service', () => {
  it('answers at once what the device answers at once', () => {
    const service = serviceOf(new MemoryDevice({ sizeBytes }));
    service.serve(headerOf(Command.READ, 1, 4096), 0);
    service.serve(headerOf(Command.BLOCK_STATUS, 2, 4096), 0);
    service.serve(headerOf(Command.FLUSH, 3), 0);
    service.serve(headerOf(Command.RESIZE, 4), 0);
    const eperm = 1;
    expect(answered(service)).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
      [4, eperm],
    ]);
    expect([service.requests, service.heldBytes, heard]).toEqual([0, 0, []]);
  });

  it('answers who asked when the device has, though the header serves others by then', async () => {
    const service = serviceOf(new LateDevice(new MemoryDevice({ sizeBytes }), false));
    const header = headerOf(Command.READ, 1, 4096);
    service.serve(header, 0);
    service.serve(Object.assign(header, headerOf(Command.FLUSH, 2)), 0);
    Object.assign(header, headerOf(Command.READ, 9, 1));
    expect([service.requests, service.heldBytes, answered(service)]).toEqual([2, 4096, []]);
    await settled(2);
    expect(answered(service).sort()).toEqual([
      [1, 0],
      [2, 0],
    ]);
    expect([service.requests, service.heldBytes]).toEqual([0, 0]);
  });

  it('answers nothing when the device breaks, and tells it', async () => {
    const device = new MemoryDevice({ sizeBytes });
    const service = serviceOf(device);
    device.flush = () => Promise.reject(new TypeError('no disk'));
    service.serve(headerOf(Command.FLUSH, 1), 0);
    await settled(2);
    expect(heard).toEqual(['TypeError: no disk', 'settled']);
    expect([service.requests, answered(service)]).toEqual([0, []]);
  });

  it('lets a payload go when its write succeeded, and never when it failed', async () => {
    const service = serviceOf(new MemoryDevice({ sizeBytes }));
    const released: string[] = [];
    const failure: Done = refuse(Errno.EIO);
    const answers = {
      now: done,
      later: Promise.resolve(done),
      never: failure,
      'never later': Promise.resolve(failure),
    };
    let cookie = 0;
    for (const [name, answer] of Object.entries(answers))
      service.answer(headerOf(Command.WRITE, ++cookie), answer, 100, () => void released.push(name));
    expect([released, service.heldBytes]).toEqual([['now'], 200]);
    await settled(2);
    expect(released).toEqual(['now', 'later']);
    const eio = 5;
    expect(answered(service)).toEqual([
      [1, 0],
      [3, eio],
      [2, 0],
      [4, eio],
    ]);
  });
});
