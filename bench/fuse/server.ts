/** A memory volume mounted by this process: `server MOUNTPOINT`. Ends when it is unmounted. */
import { buildGraph, InodeTable, type Services, startGraph, type XlatorType } from '@mortar/core';
import { mountFuse } from '@mortar/fuse-mount';
import { SystemClock } from '@mortar/host/ports/clock.ts';
import { SystemRandom } from '@mortar/host/ports/random.ts';
import { xlator } from '@mortar/xlators/storage/memory/index.ts';

const services: Services = {
  clock: new SystemClock(),
  random: new SystemRandom(),
  log: { level: 'WARNING', setLevel: () => {}, write: (level, origin, text) => console.error(level, origin, text) },
  metrics: { counter: () => ({ add: () => {} }), histogram: () => ({ record: () => {} }) },
  inodes: new InodeTable(),
  port: (name) => {
    throw new Error(`no port ${name}`);
  },
};

const mountPoint = process.argv[2];
if (mountPoint === undefined) throw new Error('usage: server MOUNTPOINT');
const at = { file: 'bench', line: 1, column: 1 };
const volfile = {
  volumes: [{ name: 'memory', type: 'storage/memory', options: new Map(), subvolumes: [], at }],
};
const graph = buildGraph(volfile, new Map([[xlator.type, xlator as unknown as XlatorType]]), services);
await startGraph(graph);
const mount = await mountFuse({ mountPoint, source: 'memory', services, clientId: 'bench', top: graph.top.ops });
console.log('mounted');
await mount.closed;
