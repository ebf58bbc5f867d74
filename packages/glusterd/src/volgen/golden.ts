/** For tests: the volumes whose volfiles are the golden files, read from their stores. */
import { type BrickInfo, type VolumeInfo, volumeInfoSchema } from '../volume.ts';

const types: Record<string, VolumeInfo['type']> = { 0: 'distribute', 2: 'replicate', 4: 'disperse' };
const statuses: Record<string, VolumeInfo['status']> = { 0: 'created', 1: 'started', 2: 'stopped' };
const node = '6a058689-c7fa-4626-8617-cf4e6a7caeb2';

function lines(text: string): [string, string][] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]);
}

/** The samples have no store of the thin-arbiter volume; this is what it must have been. */
function thinArbiterVolume(): VolumeInfo {
  const brick = (n: number, brickId: string): BrickInfo => ({
    host: `node${n}`,
    hostUuid: node,
    path: `/bricks/b${n}`,
    brickId,
    fsid: '1',
  });
  return volumeInfoSchema.parse({
    name: 'vol1',
    id: '9187cb58-bfa8-4851-96f5-0c6460af79ea',
    type: 'replicate',
    status: 'created',
    bricks: [brick(1, 'vol1-client-0'), brick(2, 'vol1-client-1')],
    thinArbiterBricks: [brick(3, 'vol1-ta-2')],
    replicaCount: 2,
    thinArbiterCount: 1,
    options: {
      'cluster.granular-entry-heal': 'on',
      'storage.fips-mode-rchecksum': 'on',
      'transport.address-family': 'inet',
      'nfs.disable': 'on',
      'performance.client-io-threads': 'off',
    },
    username: '8653e973-99c4-4016-836d-f09f58ba64da',
    password: '0f4c3e9b-fb5c-4659-9d57-0ffd63988787',
  });
}

export function volumeFromStore(name: string, store: Record<string, string> | undefined): VolumeInfo {
  if (!store) return thinArbiterVolume();
  const info = lines(store['vols/vol1/info']!);
  const get = (key: string) => info.find(([each]) => each === key)?.[1];
  const number = (key: string) => Number(get(key) ?? 0);
  const bricks = info
    .filter(([key]) => key.startsWith('brick-'))
    .map(([, file]): BrickInfo => {
      const brick = new Map(lines(store[`vols/vol1/bricks/${file}`]!));
      return {
        host: brick.get('hostname')!,
        hostUuid: brick.get('uuid')!,
        path: brick.get('path')!,
        brickId: brick.get('brick-id')!,
        fsid: brick.get('brick-fsid')!,
      };
    });
  return volumeInfoSchema.parse({
    name: 'vol1',
    id: get('volume-id'),
    type: types[get('type')!],
    status: statuses[get('status')!],
    bricks,
    replicaCount: number('replica_count'),
    arbiterCount: number('arbiter_count'),
    disperseCount: number('disperse_count'),
    redundancyCount: number('redundancy_count'),
    options: Object.fromEntries(info.filter(([key]) => key.includes('.'))),
    username: get('username'),
    password: get('password'),
    opVersion: number('op-version'),
    clientOpVersion: number('client-op-version'),
    quotaVersion: number('quota-version'),
    version: number('version'),
    extra: { case: name },
  });
}
