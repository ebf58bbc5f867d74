/**
 * Random and broken frames against a real server over a unix socket: `node bench/rpc-run.mjs soak [FRAMES]`, one million
 * by default. Fails if the server has a bug, stops serving honest clients, or grows.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyIatt, rootGfid } from '@mortar/core';
import type { Metrics } from '@mortar/core/ports.ts';
import { randomFrame, throwBytes } from '@mortar/rpc/fuzz.ts';
import { SessionServer } from '@mortar/rpc/session/server.ts';
import { nodeClock, nodeRandom } from '@mortar/rpc/transports/node-ports.ts';
import { unixTransport } from '@mortar/rpc/transports/unix.ts';

const total = Number(process.argv[2] ?? 1_000_000);
const framesInConnection = 50;
const growthMaxBytes = 200 << 20;

const counts = new Map<string, number>();
const metrics: Metrics = {
  counter: (name, labels = {}) => {
    const key = [name, ...Object.values(labels)].join(' ');
    return { add: (amount = 1) => void counts.set(key, (counts.get(key) ?? 0) + amount) };
  },
  histogram: () => ({ record: () => undefined }),
};

const folder = mkdtempSync(join(tmpdir(), 'mortar-soak-'));
const address = { kind: 'unix', path: join(folder, 's') } as const;
const transport = unixTransport();
const server = new SessionServer({
  clock: nodeClock,
  random: nodeRandom,
  metrics,
  name: 'soak',
  graceMs: 100,
  admit: () => ({ isTrusted: false }),
  run: async () => ({ ok: true, iatt: emptyIatt(rootGfid) }) as never,
});
await server.listen(transport, address);

let peak = 0;
let warm = 0;
const started = nodeClock.nowMs();
for (let sent = 0; sent < total; sent += framesInConnection) {
  const bytes = Buffer.concat(Array.from({ length: framesInConnection }, () => randomFrame(nodeRandom)));
  await throwBytes({ transport, address, clock: nodeClock, bytes, afterHello: sent % 1000 !== 0, patienceMs: 5 });
  const { rss } = process.memoryUsage();
  if (sent > total / 10 && warm === 0) warm = rss;
  peak = Math.max(peak, rss);
}
const honest = await throwBytes({
  transport,
  address,
  clock: nodeClock,
  bytes: Buffer.alloc(0),
  afterHello: true,
  patienceMs: 200,
});
await nodeClock.sleep(500);
const left = server.sessions().length;
await server.close();
rmSync(folder, { recursive: true, force: true });

const bugs = [...counts].filter(([name]) => name.startsWith('rpc_bugs_total')).reduce((sum, [, n]) => sum + n, 0);
console.log(`${total} frames in ${Math.round((nodeClock.nowMs() - started) / 1000)} s`);
for (const [name, count] of [...counts].sort()) console.log(`  ${name} ${count}`);
console.log(`  memory ${warm >> 20} MiB warm, ${peak >> 20} MiB at most; ${left} sessions left; bugs ${bugs}`);
if (bugs > 0 || left > 0 || honest !== 'open' || peak - warm > growthMaxBytes) {
  console.error('the soak failed');
  process.exitCode = 1;
}
