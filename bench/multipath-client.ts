/** Reads and writes a device over some paths, as fast as it goes: the part of multipath.mjs that runs at the client. */
import { randomBytes, randomInt } from 'node:crypto';
import type { ReadReply } from '@mortar/block';
import { dial } from '@mortar/block/rsio/client/dial.ts';
import { RemoteDevice } from '@mortar/block/rsio/client/remote-device.ts';
import { ClientSession } from '@mortar/block/rsio/client/session.ts';
import type { Clock, Log, Random } from '@mortar/core';
import { returnBytes } from '@mortar/core';
import { SystemClock } from '@mortar/host/ports/clock.ts';

const [pairs = '', port = '', what = 'read', bytes = '131072', depth = '16', seconds = '3'] = process.argv.slice(2);
const clock: Clock = new SystemClock();
const random: Random = { bytes: (count) => new Uint8Array(randomBytes(count)), integer: (below) => randomInt(below) };
const log: Log = { level: 'ERROR', setLevel: () => {}, write: () => {} };
const requestBytes = Number(bytes);

const paths = pairs.split(',').map((pair) => {
  const [from = '', host = ''] = pair.split('>');
  return { name: host, dial: () => dial({ host, port: Number(port), from }) };
});
const session = new ClientSession({ clock, random, log, namespace: 'bench', client: 'bench', key: '', paths });
session.start();
while (!session.paths.every(({ isUp }) => isUp)) await clock.sleep(5);
const opened = await RemoteDevice.open({ name: 'memory', sessions: [session], mode: 'exclusive', clock, log }, 10_000);
if (!opened.ok) throw new Error(`the device cannot be opened: errno ${opened.errno}`);
const { device } = opened;
const places = Math.floor(device.sizeBytes / requestBytes);
const payload = Buffer.alloc(requestBytes, 'data');

let moved = 0;
let count = 0;
let isOver = false;
async function worker(): Promise<void> {
  while (!isOver) {
    const offset = requestBytes * Math.floor(Math.random() * places);
    const reply = await (what === 'read' ? device.read(offset, requestBytes) : device.write(offset, payload, false));
    if (!reply.ok) throw new Error(`errno ${reply.errno}`);
    if ('pieces' in reply) for (const piece of (reply as ReadReply & { ok: true }).pieces) returnBytes(piece);
    moved += requestBytes;
    count++;
  }
}

const workers = Array.from({ length: Number(depth) * paths.length }, worker);
await clock.sleep(500);
const [began, cpu, before, counted] = [performance.now(), process.cpuUsage(), moved, count];
await clock.sleep(Number(seconds) * 1000);
const ms = performance.now() - began;
const used = process.cpuUsage(cpu);
const result = { bytes: moved - before, count: count - counted, ms, cores: (used.user + used.system) / 1000 / ms };
process.stdout.write(`${JSON.stringify(result)}\n`);
isOver = true;
await Promise.all(workers);
await device.close();
session.close();
