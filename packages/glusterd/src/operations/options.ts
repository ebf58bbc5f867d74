import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import {
  type ClusterState,
  checkVolumeOption,
  clusterOption,
  isGroupName,
  keyForGet,
  listForGetAll,
  listForGetAllVolumes,
  parseGroup,
  resetOptions,
  shownOption,
} from '../options/index.ts';
import type { ReplyData } from '../protocol/replies.ts';
import type { RequestOf } from '../protocol/requests.ts';
import { type Change, maxOpVersion } from '../store/documents.ts';
import type { Operation } from '../transaction/operation.ts';
import { noteForOption, noteWithoutEffect } from '../volgen/index.ts';
import type { VolumeInfo } from '../volume.ts';
import { runHooks } from './run-hooks.ts';
import { commit, nextVersion, volumeNamed } from './volumes.ts';

type SetRequest = RequestOf<'volume.set'>;
interface Plan {
  change: Change;
  volumes: VolumeInfo[];
  hookArguments: string[];
  /** What the user should know although all is well. */
  notes: string[];
}

export function clusterState(context: Context): ClusterState {
  const { node, globals } = context.store.state;
  return { opVersion: node.opVersion, maxOpVersion, options: globals.options };
}

export function setOptions(request: SetRequest): Operation<Plan, ReplyData['volume.set']> {
  return {
    name: 'volume set',
    subject: request.volume,
    async stage(context) {
      const pairs = request.group === undefined ? request.pairs : await groupPairs(context, request.group);
      if (pairs.length === 0) throw new OperationError('no options are given');
      return request.volume === 'all'
        ? planForAll(context, pairs)
        : planForVolume(context, request.volume, pairs, { isGroup: request.group !== undefined });
    },
    async commit(context, plan) {
      await apply(context, 'set', plan);
      return plan.notes.length === 0 ? {} : { warning: plan.notes.join('\n') };
    },
  };
}

async function groupPairs(context: Context, group: string): Promise<{ key: string; value: string }[]> {
  const path = `${context.directories.work}/groups/${group}`;
  const text = isGroupName(group) ? await context.files.read(path) : null;
  if (text === null) throw new OperationError(`Unable to open file '${path}'. Error: No such file or directory`);
  try {
    return parseGroup(text).map(([key, value]) => ({ key, value }));
  } catch (error) {
    throw new OperationError(`group ${group}: ${(error as Error).message}`);
  }
}

function checked(
  context: Context,
  subject: VolumeInfo | 'all',
  { key, value }: { key: string; value: string },
  byOtherCommand = false,
): { key: string; value: string } {
  const result = checkVolumeOption(subject, key, value, { cluster: clusterState(context), byOtherCommand });
  if ('error' in result) throw new OperationError(result.error);
  return result;
}

/** The option set last is listed first; one that was set before keeps its place. */
export function withOption(options: Record<string, string>, key: string, value: string): Record<string, string> {
  return Object.hasOwn(options, key) ? { ...options, [key]: value } : { [key]: value, ...options };
}

/** Where processes of this node write must be a folder, now. */
function checkPlace(context: Context, key: string, value: string): void {
  if (key === 'server.statedump-path' && !context.inspector.isDirectory(value))
    throw new OperationError(`Failed: Invalid path for ${key}: ${value} is not a directory`);
}

/** How bricks listen is settled when they start (docs/host.md). */
function noteForRunning({ status }: VolumeInfo, key: string): string | undefined {
  const isOfListening = key === 'server.ssl' || key === 'transport.address-family' || key.startsWith('ssl.');
  if (status !== 'started' || !isOfListening) return undefined;
  return `${key} has no effect on bricks that run: stop the volume and start it`;
}

function planForVolume(
  context: Context,
  name: string,
  pairs: readonly { key: string; value: string }[],
  { byOtherCommand = false, isGroup = false }: { byOtherCommand?: boolean; isGroup?: boolean },
): Plan {
  let volume = volumeNamed(context, name);
  const notes: string[] = [];
  for (const pair of pairs) {
    // Each is checked against what the ones before it leave.
    const { key, value } = checked(context, volume, pair, byOtherCommand);
    checkPlace(context, key, value);
    // Who sets a group asks for what it is for, not for each option in it.
    const idle = isGroup ? undefined : noteWithoutEffect(key);
    const note = noteForOption(key, value) ?? idle ?? noteForRunning(volume, key);
    if (note !== undefined) notes.push(note);
    volume = { ...volume, options: withOption(volume.options, key, value) };
  }
  volume = nextVersion(volume);
  context.volfiles.check(volume);
  return { ...planOf(volume, ['-o', ...pairs.map(({ key, value }) => `${key}=${value}`)]), notes };
}

function planOf(volume: VolumeInfo, words: string[]): Plan {
  return {
    change: { volumes: new Map([[volume.name, volume]]) },
    volumes: [volume],
    hookArguments: [`--volname=${volume.name}`, ...words],
    notes: [],
  };
}

async function planForAll(context: Context, pairs: readonly { key: string; value: string }[]): Promise<Plan> {
  const { node, globals } = context.store.state;
  const change: Change = {};
  let { options, opVersion } = globals;
  for (const pair of pairs) {
    const { key, value } = checked(context, 'all', pair);
    if (key === 'cluster.op-version') {
      opVersion = Number(value);
      await checkPeersKnow(context, opVersion);
      change.node = { ...node, opVersion };
    } else options = withOption(options, key, value);
  }
  change.globals = { ...globals, version: globals.version + 1, options, ...(opVersion !== undefined && { opVersion }) };
  return {
    change,
    volumes: [],
    hookArguments: ['--volname=all', '-o', ...pairs.map((p) => `${p.key}=${p.value}`)],
    notes: [],
  };
}

/** All members must be there: one that is too old for an op-version would be shut out by it. */
async function checkPeersKnow({ pool }: Context, wanted: number): Promise<void> {
  for (const { uuid } of pool?.others() ?? []) {
    const most = await pool!.maxOpVersionOf(uuid);
    if (most < wanted)
      throw new OperationError(
        `Staging failed on ${pool!.nameOf(uuid)}. Error: Required op_version (${wanted}) is not supported. ` +
          `Max supported op version is ${most}`,
      );
  }
}

async function apply(context: Context, event: 'set' | 'reset', plan: Plan): Promise<void> {
  await runHooks(context, event, 'pre', plan.hookArguments);
  await commit(context, plan.change);
  if (plan.volumes.length > 0) await context.healDaemon.update();
  await runHooks(context, event, 'post', plan.hookArguments);
}

/** Options that have commands of their own, such as `volume heal V disable`. */
export function setByCommand(
  name: string,
  subject: string,
  pairs: readonly { key: string; value: string }[],
  check: (volume: VolumeInfo) => void = () => undefined,
): Operation<Plan, Record<string, never>> {
  return {
    name,
    subject,
    async stage(context) {
      check(volumeNamed(context, subject));
      return planForVolume(context, subject, pairs, { byOtherCommand: true });
    },
    async commit(context, plan) {
      await apply(context, 'set', plan);
      return {};
    },
  };
}

/** The other way round: the options are gone again. */
export function unsetByCommand(
  name: string,
  subject: string,
  keys: readonly string[],
  check: (volume: VolumeInfo) => void,
): Operation<Plan, Record<string, never>> {
  return {
    name,
    subject,
    async stage(context) {
      const volume = volumeNamed(context, subject);
      check(volume);
      const options = Object.fromEntries(Object.entries(volume.options).filter(([key]) => !keys.includes(key)));
      return planOf(nextVersion({ ...volume, options }), []);
    },
    async commit(context, plan) {
      await apply(context, 'reset', plan);
      return {};
    },
  };
}

export function resetVolume(request: RequestOf<'volume.reset'>): Operation<Plan, Record<string, never>> {
  const key = request.key === 'all' ? undefined : request.key;
  return {
    name: 'volume reset',
    subject: request.volume,
    async stage(context) {
      if (request.volume === 'all') return planResetOfAll(context, key);
      const volume = volumeNamed(context, request.volume);
      const result = resetOptions(volume, key, request.force);
      if ('error' in result) throw new OperationError(result.error);
      return planOf(nextVersion({ ...volume, options: result.options }), []);
    },
    async commit(context, plan) {
      await apply(context, 'reset', plan);
      return {};
    },
  };
}

function planResetOfAll(context: Context, key: string | undefined): Plan {
  const { globals } = context.store.state;
  const kept = Object.entries(globals.options).filter(([name]) => key !== undefined && name !== key);
  if (key !== undefined && !Object.hasOwn(globals.options, key)) {
    const found = keyForGet(key);
    if ('error' in found) throw new OperationError(`Option ${key} does not exist\n${found.error}`);
  }
  const change = { globals: { ...globals, version: globals.version + 1, options: Object.fromEntries(kept) } };
  return { change, volumes: [], hookArguments: ['--volname=all'], notes: [] };
}

export function getOptions(context: Context, request: RequestOf<'volume.get'>): ReplyData['volume.get'] {
  const cluster = clusterState(context);
  if (request.volume === 'all') {
    if (request.key === 'all') return { options: listForGetAllVolumes(cluster) };
    const found = keyForGet(request.key);
    if ('error' in found) throw new OperationError(found.error);
    return { options: [clusterOption(found.key, cluster)] };
  }
  const volume = volumeNamed(context, request.volume);
  if (request.key === 'all') return { options: listForGetAll(volume, cluster) };
  const found = keyForGet(request.key);
  if ('error' in found) throw new OperationError(found.error);
  return { options: [shownOption(volume, found.key, cluster)] };
}
