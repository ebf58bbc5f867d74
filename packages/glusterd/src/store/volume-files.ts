/** A volume as GlusterFS's text files under `vols/VOLUME` and back (docs/management.md). */
import { dashed } from '../paths.ts';
import { nullUuid } from '../uuid.ts';
import { type BrickInfo, setSize, type VolumeInfo, type VolumeStatus, volumeInfoSchema } from '../volume.ts';
import { infoChecksum } from './checksum.ts';
import { type Lines, numberIn, parseLines, printLines } from './lines.ts';

const types = ['distribute', 'stripe', 'replicate', 'stripe-replicate', 'disperse', 'tier'] as const;
const statuses: readonly VolumeStatus[] = ['created', 'started', 'stopped'];
const transports = ['tcp', 'rdma', 'tcp,rdma'] as const;

/** Keys of `info` that are no options; what is none of these and has a dot is one. */
const ownKeys = new Set([
  'type',
  'count',
  'status',
  'sub_count',
  'stripe_count',
  'replica_count',
  'disperse_count',
  'redundancy_count',
  'arbiter_count',
  'thin_arbiter_count',
  'version',
  'transport-type',
  'volume-id',
  'username',
  'password',
  'op-version',
  'client-op-version',
  'quota-version',
  'tier-enabled',
  'parent_volname',
  'restored_from_snap',
  'snap-max-hard-limit',
]);

function brickFileName(brick: BrickInfo): string {
  return `${brick.host}:${dashed(brick.path)}`;
}

export function volumeInfoText(volume: VolumeInfo): string {
  const size = setSize(volume);
  const lines: Lines = [
    ['type', `${types.indexOf(volume.type)}`],
    ['count', `${volume.bricks.length}`],
    ['status', `${statuses.indexOf(volume.status)}`],
    ['sub_count', `${size === 1 ? 0 : size}`],
    ['replica_count', `${volume.replicaCount}`],
    ...(volume.arbiterCount > 0 ? [['arbiter_count', `${volume.arbiterCount}`] as [string, string]] : []),
    ...(volume.thinArbiterCount > 0 ? [['thin_arbiter_count', `${volume.thinArbiterCount}`] as [string, string]] : []),
    ['disperse_count', `${volume.disperseCount}`],
    ['redundancy_count', `${volume.redundancyCount}`],
    ['version', `${volume.version}`],
    ['transport-type', `${transports.indexOf(volume.transport)}`],
    ['volume-id', volume.id],
    ['username', volume.username ?? ''],
    ['password', volume.password ?? ''],
    ['op-version', `${volume.opVersion}`],
    ['client-op-version', `${volume.clientOpVersion}`],
    ['quota-version', `${volume.quotaVersion}`],
    ['tier-enabled', '0'],
    ['parent_volname', volume.parentVolume ?? 'N/A'],
    ['restored_from_snap', volume.restoredFromSnap ?? nullUuid],
    ['snap-max-hard-limit', `${volume.snapMaxHardLimit}`],
    ...Object.entries(volume.extra ?? {}),
    ...Object.entries(volume.options),
    ...volume.bricks.map((brick, i): [string, string] => [`brick-${i}`, brickFileName(brick)]),
    ...volume.thinArbiterBricks.map((brick, i): [string, string] => [`ta-brick-${i}`, brickFileName(brick)]),
  ];
  return printLines(lines);
}

export function brickText(brick: BrickInfo): string {
  return printLines([
    ['uuid', brick.hostUuid],
    ['hostname', brick.host],
    ['path', brick.path],
    ['real_path', brick.realPath ?? brick.path],
    ['listen-port', `${brick.port ?? 0}`],
    ['rdma.listen-port', '0'],
    ['decommissioned', brick.decommissioned ? '1' : '0'],
    ['brick-id', brick.brickId],
    ['mount_dir', brick.mountDir ?? brick.path],
    ['snap-status', `${brick.snapStatus ?? 0}`],
    ['brick-fsid', brick.fsid ?? '0'],
    ...Object.entries(brick.extra ?? {}),
  ]);
}

const idleNodeState: Lines = [
  ['rebalance_status', '0'],
  ['status', '0'],
  ['rebalance_op', '0'],
  ['rebalance-id', nullUuid],
  ['rebalanced-files', '0'],
  ['size', '0'],
  ['scanned', '0'],
  ['failures', '0'],
  ['skipped', '0'],
  ['run-time', '0.000000'],
];

/** All files of a volume but its volfiles, by name below `vols/VOLUME`. */
export function volumeFiles(volume: VolumeInfo): Map<string, string> {
  const info = volumeInfoText(volume);
  const files = new Map([
    ['info', info],
    ['cksum', `info=${infoChecksum(info)}\n`],
    ['node_state.info', printLines(idleNodeState)],
    ['snapd.info', 'snapd-port=0\n'],
  ]);
  for (const brick of [...volume.bricks, ...volume.thinArbiterBricks])
    files.set(`bricks/${brickFileName(brick)}`, brickText(brick));
  return files;
}

export class StoreFormatError extends Error {
  readonly code = 'ESTORE';
}

/** Reads a volume's files; throws StoreFormatError naming the file and what is wrong with it. */
export function parseVolume(name: string, read: (file: string) => string | null): VolumeInfo {
  const text = read('info');
  if (text === null) throw new StoreFormatError(`vols/${name}/info is missing`);
  const lines = parseLines(text);
  const info = new Map(lines);
  const type = types[numberIn(info, 'type')];
  if (type !== 'distribute' && type !== 'replicate' && type !== 'disperse')
    throw new StoreFormatError(
      `vols/${name}/info: volumes of type ${info.get('type')} (${type ?? 'unknown'}) do not exist any more`,
    );
  const brickNames = (prefix: RegExp) => lines.filter(([key]) => prefix.test(key)).map(([, value]) => value);
  const bricksOf = (prefix: RegExp) => brickNames(prefix).map((file) => parseBrick(name, file, read(`bricks/${file}`)));
  const isOther = ([key]: [string, string]) => !ownKeys.has(key) && !/^(ta-)?brick-\d+$/.test(key);
  const others = lines.filter(isOther);
  const restored = info.get('restored_from_snap');
  const parent = info.get('parent_volname');
  const volume = {
    name,
    id: info.get('volume-id'),
    type,
    status: statuses[numberIn(info, 'status')],
    bricks: bricksOf(/^brick-\d+$/),
    thinArbiterBricks: bricksOf(/^ta-brick-\d+$/),
    replicaCount: numberIn(info, 'replica_count', 1),
    arbiterCount: numberIn(info, 'arbiter_count'),
    thinArbiterCount: numberIn(info, 'thin_arbiter_count'),
    disperseCount: numberIn(info, 'disperse_count'),
    redundancyCount: numberIn(info, 'redundancy_count'),
    transport: transports[numberIn(info, 'transport-type')],
    options: Object.fromEntries(others.filter(([key]) => key.includes('.'))),
    username: info.get('username'),
    password: info.get('password'),
    version: numberIn(info, 'version', 1),
    opVersion: numberIn(info, 'op-version', 1) || 1,
    clientOpVersion: numberIn(info, 'client-op-version', 1) || 1,
    quotaVersion: numberIn(info, 'quota-version'),
    snapMaxHardLimit: numberIn(info, 'snap-max-hard-limit', 256),
    ...(parent !== undefined && parent !== 'N/A' && { parentVolume: parent }),
    ...(restored !== undefined && restored !== nullUuid && { restoredFromSnap: restored }),
    extra: Object.fromEntries(others.filter(([key]) => !key.includes('.'))),
  };
  const parsed = volumeInfoSchema.safeParse(volume);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new StoreFormatError(`vols/${name}/info: ${path.join('.')}: ${message}`);
}

const brickKeys = new Set([
  'uuid',
  'hostname',
  'path',
  'real_path',
  'listen-port',
  'rdma.listen-port',
  'decommissioned',
  'brick-id',
  'mount_dir',
  'snap-status',
  'brick-fsid',
]);

function parseBrick(volume: string, file: string, text: string | null): unknown {
  if (text === null) throw new StoreFormatError(`vols/${volume}/bricks/${file} is missing`);
  const lines = parseLines(text);
  const brick = new Map(lines);
  const optional = (field: string, key: string) => {
    const value = brick.get(key);
    return value === undefined || value === '' ? {} : { [field]: value };
  };
  return {
    host: brick.get('hostname'),
    hostUuid: brick.get('uuid'),
    path: brick.get('path'),
    brickId: brick.get('brick-id'),
    port: numberIn(brick, 'listen-port'),
    decommissioned: brick.get('decommissioned') === '1',
    snapStatus: Number(brick.get('snap-status') ?? 0),
    ...optional('realPath', 'real_path'),
    ...optional('mountDir', 'mount_dir'),
    ...optional('fsid', 'brick-fsid'),
    extra: Object.fromEntries(lines.filter(([key]) => !brickKeys.has(key))),
  };
}
