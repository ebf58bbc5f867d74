/**
 * What an operation asks of each node for the bricks that it has: the same functions run on this node and, checked by
 * their schemas, for peers. All are idempotent; none changes documents.
 */
import { z } from 'zod';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { awaitedHere, awaitedSchema } from '../operations/awaited-here.ts';
import { checkAvailable, checkDirectory, realPath } from '../operations/brick-checks.ts';
import { brickProblem, worstProblem } from '../operations/brick-problem.ts';
import { dumpClientsHere } from '../operations/dump-client-here.ts';
import { dumpHere, reasonMaxLength } from '../operations/dump-here.ts';
import { localProcesses } from '../operations/local-status.ts';
import { makeBricks, withFacts } from '../operations/new-bricks.ts';
import { rotateHere } from '../operations/rotate.ts';
import type { ProcessData } from '../protocol/replies.ts';
import { statusDaemons, statusSections } from '../protocol/requests.ts';
import { type BrickInfo, brickInfoSchema, taskProgressSchema, type VolumeInfo, volumeInfoSchema } from '../volume.ts';
import { blamedSchema, blameHere } from './root-blame.ts';

const word = z.string().min(1).max(4096);
const bricks = z.array(brickInfoSchema).max(4096);
const brickIds = z.array(word).max(4096);

interface SiteCall<P extends z.ZodType, R extends z.ZodType> {
  readonly params: P;
  readonly result: R;
  /** How long a peer may take. */
  readonly timeoutMs: number;
  run(context: Context, params: z.infer<P>): Promise<z.infer<R>>;
}

function call<P extends z.ZodType, R extends z.ZodType>(one: SiteCall<P, R>): SiteCall<P, R> {
  return one;
}

const stillMarked =
  "Brick not available.It may be containing or be contained by an existing brick.Use 'force' option to override this.";

const changelogName = z.string().regex(/^trusted\.afr\.[^/]+$/);
const quick = 10_000;
/** A brick has a minute to start. */
const slow = 90_000;

/** Directories that were made for operations under way, by the operation's token; the oldest are forgotten. */
const undoable = new WeakMap<Context['store'], Map<string, () => void>>();
const undoableMax = 256;

function undoMap({ store }: Context): Map<string, () => void> {
  const map = undoable.get(store) ?? new Map<string, () => void>();
  undoable.set(store, map);
  return map;
}

function own(context: Context, list: readonly BrickInfo[]): BrickInfo[] {
  const { uuid } = context.store.state.node;
  if (list.some((brick) => brick.hostUuid !== uuid)) throw new OperationError('a brick is of another node');
  return [...list];
}

/** Those of this node among the bricks with these ids. */
export function bricksHere(context: Context, volume: VolumeInfo, ids: readonly string[]): BrickInfo[] {
  const { uuid } = context.store.state.node;
  return volume.bricks.filter((brick) => brick.hostUuid === uuid && ids.includes(brick.brickId));
}

/** Methods of bricks and heal daemons that peers may have asked. */
const brickMethods = [
  'brick.profile',
  'brick.top',
  'brick.clearLocks',
  'brick.clients',
  'brick.fencePlacement',
  'graph.refresh',
] as const;
const healMethods = ['heal.launch', 'heal.info', 'heal.count', 'heal.statistics', 'heal.splitBrain'] as const;

export const processSchema = z.looseObject({
  kind: z.enum(['brick', 'daemon']),
  hostname: z.string(),
  path: z.string(),
  peerId: z.string(),
  online: z.boolean(),
  port: z.number(),
  pid: z.number(),
});

export const siteCalls = {
  /** Whether directories can become bricks; gives them back with their resolved paths. */
  checkBricks: call({
    /** `isReset`: the brick has its place in the volume already. */
    params: z.object({ bricks, force: z.boolean(), ignorePartition: z.boolean(), isReset: z.boolean() }),
    result: z.object({ bricks }),
    timeoutMs: quick,
    async run(context, { bricks: given, isReset, ...rules }) {
      const resolved = own(context, given).map((brick) => ({ ...brick, realPath: realPath(context, brick.path) }));
      for (const brick of resolved) {
        if (!isReset) checkAvailable(context, brick);
        else if (!rules.force && context.inspector.isMarked(brick.path)) throw new OperationError(stillMarked);
        checkDirectory(context, brick, rules);
      }
      return { bricks: resolved };
    },
  }),

  /** Makes and marks directories; gives the bricks back with what is known of their file systems. */
  makeBricks: call({
    params: z.object({ token: word, volumeId: word, bricks, dirty: z.boolean() }),
    result: z.object({ bricks }),
    timeoutMs: quick,
    async run(context, { token, volumeId, bricks: given, dirty }) {
      const undos = undoMap(context);
      if (!undos.has(token)) undos.set(token, makeBricks(context, own(context, given), volumeId));
      if (dirty) for (const brick of given) context.inspector.markDirty(brick.path);
      for (const oldest of [...undos.keys()].slice(0, Math.max(0, undos.size - undoableMax))) undos.delete(oldest);
      return { bricks: await withFacts(context, given) };
    },
  }),

  /** Removes what `makeBricks` made, and nothing that was there before. */
  undoBricks: call({
    params: z.object({ token: word }),
    result: z.object({}),
    timeoutMs: quick,
    async run(context, { token }) {
      const undos = undoMap(context);
      undos.get(token)?.();
      undos.delete(token);
      return {};
    },
  }),

  /** Why the directories of a volume's bricks are not its own, if so. */
  brickProblems: call({
    params: z.object({ volume: volumeInfoSchema }),
    // Nodes of older versions don't say whether it is foreign.
    result: z.object({ problem: z.string().nullable(), foreign: z.boolean().default(false) }),
    timeoutMs: quick,
    async run(context, { volume }) {
      context.volfiles.check(volume);
      const ids = volume.bricks.map((brick) => brick.brickId);
      const problems = bricksHere(context, volume, ids).map((brick) => brickProblem(context, volume, brick));
      const problem = worstProblem(problems);
      return { problem: problem?.text ?? null, foreign: problem?.foreign ?? false };
    },
  }),

  startBricks: call({
    params: z.object({ volume: volumeInfoSchema, bricks: brickIds }),
    result: z.object({ ports: z.record(z.string(), z.int().min(0).max(65535)), failures: z.array(z.string()) }),
    timeoutMs: slow,
    async run(context, { volume, bricks: ids }) {
      const ports: Record<string, number> = {};
      const failures: string[] = [];
      const start = async (brick: BrickInfo) => {
        try {
          ports[brick.brickId] = await context.supervisor.startBrick(volume, brick);
        } catch (error) {
          if (!(error instanceof OperationError)) throw error;
          failures.push(error.message);
        }
      };
      await Promise.all(bricksHere(context, volume, ids).map(start));
      return { ports, failures };
    },
  }),

  stopBricks: call({
    params: z.object({ volume: volumeInfoSchema, bricks: brickIds }),
    result: z.object({}),
    timeoutMs: slow,
    async run(context, { volume, bricks: ids }) {
      await Promise.all(bricksHere(context, volume, ids).map((brick) => context.supervisor.stopBrick(volume, brick)));
      return {};
    },
  }),

  /** Bricks that left the volume: each ends when its clients have gone. */
  retireBricks: call({
    params: z.object({ volume: volumeInfoSchema, bricks: brickIds }),
    result: z.object({}),
    timeoutMs: slow,
    async run(context, { volume, bricks: ids }) {
      await Promise.all(bricksHere(context, volume, ids).map((brick) => context.supervisor.retireBrick(volume, brick)));
      return {};
    },
  }),

  /** Rows of `volume status`: bricks of this node, and its heal daemon. */
  processes: call({
    params: z.object({
      volume: word,
      bricks: brickIds,
      section: z.enum(statusSections).optional(),
      daemon: z.enum(statusDaemons).optional(),
      withDaemon: z.boolean(),
    }),
    result: z.object({ processes: z.array(processSchema) }),
    timeoutMs: quick,
    async run(context, { volume: name, bricks: ids, section, withDaemon }) {
      const volume = context.store.state.volumes.get(name);
      if (!volume) return { processes: [] };
      const processes: ProcessData[] = await localProcesses(context, volume, bricksHere(context, volume, ids), {
        section,
        withDaemon,
      });
      return { processes: processes.map((process) => ({ ...process })) };
    },
  }),

  /** A question to each running brick of this node; those that do not answer are left out. */
  askBricks: call({
    params: z.object({ volume: word, bricks: brickIds, method: z.enum(brickMethods), params: z.unknown() }),
    result: z.object({ answers: z.array(z.object({ brick: z.string(), answer: z.unknown() })) }),
    timeoutMs: quick,
    async run(context, { volume: name, bricks: ids, method, params }) {
      const volume = context.store.state.volumes.get(name);
      if (!volume) return { answers: [] };
      const ask = async (brick: BrickInfo) => {
        try {
          if (!(await context.supervisor.brickState(volume, brick)).online) return [];
          return [{ brick: brick.brickId, answer: await context.supervisor.askBrick(volume, brick, method, params) }];
        } catch (error) {
          context.log.write('WARNING', 'management', `${method} of ${brick.path}: ${(error as Error).message}`);
          return [];
        }
      };
      return { answers: (await Promise.all(bricksHere(context, volume, ids).map(ask))).flat() };
    },
  }),

  /** State dumps of the running bricks of this node; who has written none, and why. */
  dumpBricks: call({
    params: z.object({ volume: word, bricks: brickIds }),
    result: z.object({
      failures: z.array(z.object({ brick: word, reason: z.string().max(reasonMaxLength) })).max(4096),
    }),
    timeoutMs: quick,
    async run(context, { volume: name, bricks: ids }) {
      const volume = context.store.state.volumes.get(name);
      return { failures: volume ? await dumpHere(context, volume, bricksHere(context, volume, ids)) : [] };
    },
  }),

  /** State dumps of clients that have their volfile from this node; why there is none, null of who has written one. */
  dumpClients: call({
    params: z.object({
      volume: word,
      pid: z.int().min(0),
      node: word.nullable(),
      addresses: z.array(word).max(256),
    }),
    result: z.object({ problems: z.array(z.string().max(reasonMaxLength).nullable()).max(4096) }),
    timeoutMs: quick,
    async run(context, { volume, ...wanted }) {
      return { problems: await dumpClientsHere(context, volume, wanted) };
    },
  }),

  /** A brick blames others at its root (docs/management.md). */
  blame: call({
    params: z.object({
      volume: volumeInfoSchema,
      brick: word,
      names: z.array(changelogName).max(64),
      counters: z.array(z.int()).length(3),
      of: z.array(changelogName).max(64).default([]),
    }),
    result: blamedSchema,
    timeoutMs: quick,
    async run(context, { volume, brick: id, ...blame }) {
      const [brick] = bricksHere(context, volume, [id]);
      if (!brick) throw new OperationError(`there is no brick ${id} of ${volume.name} on this node`);
      return blameHere(context, volume, brick, blame);
    },
  }),

  /** The process of this node that moves its share of the files of a volume, as the volume's task says. */
  startTask: call({
    params: z.object({ volume: volumeInfoSchema }),
    result: z.object({}),
    timeoutMs: slow,
    async run({ rebalances }, { volume }) {
      await rebalances.start(volume);
      return {};
    },
  }),

  /** It ends at once: it did not start everywhere. */
  endTask: call({
    params: z.object({ volume: volumeInfoSchema }),
    result: z.object({}),
    timeoutMs: quick,
    async run({ rebalances }, { volume }) {
      await rebalances.end(volume);
      return {};
    },
  }),

  /** How far it is, or what it came to; stopped, it ends after the files that it is at. */
  task: call({
    params: z.object({ volume: word, id: word, method: z.enum(['status', 'stop']) }),
    result: taskProgressSchema,
    timeoutMs: 120_000,
    async run({ rebalances, store }, { volume: name, id, method }) {
      const volume = store.state.volumes.get(name);
      if (!volume || volume.task?.id !== id) throw new OperationError(`that task of ${name} is not known here`);
      return method === 'stop' ? rebalances.stop(volume, volume.task) : rebalances.status(volume, volume.task);
    },
  }),

  /** Whom the process of this node that moves the files of a volume waits for. */
  awaited: call({
    params: z.object({ volume: word }),
    result: z.object({ awaited: awaitedSchema }),
    timeoutMs: quick,
    async run(context, { volume: name }) {
      const volume = context.store.state.volumes.get(name);
      return { awaited: volume ? await awaitedHere(context, volume) : [] };
    },
  }),

  /** The scripts of the administrator of this node. */
  runHooks: call({
    params: z.object({
      event: z.string().regex(/^[a-z-]{1,32}$/),
      when: z.enum(['pre', 'post']),
      words: z.array(word).max(1024),
    }),
    result: z.object({}),
    timeoutMs: slow,
    async run({ hooks }, { event, when, words }) {
      await hooks.run(event, when, words);
      return {};
    },
  }),

  /** Logs of bricks begin anew. */
  rotateLogs: call({
    params: z.object({ volume: word, bricks: brickIds }),
    result: z.object({}),
    timeoutMs: quick,
    async run(context, { volume: name, bricks: ids }) {
      const volume = context.store.state.volumes.get(name);
      if (volume) await rotateHere(context, volume, bricksHere(context, volume, ids));
      return {};
    },
  }),

  /** A brick of another node was started: clients that have their volfile from this one hear of it. */
  brickStarted: call({
    params: z.object({ volume: word }),
    result: z.object({}),
    timeoutMs: quick,
    async run({ volfiles }, { volume }) {
      volfiles.brickStarted(volume);
      return {};
    },
  }),

  askHealDaemon: call({
    params: z.object({ volume: word, method: z.enum(healMethods), params: z.record(z.string(), z.unknown()) }),
    result: z.object({ answer: z.unknown() }),
    timeoutMs: 60_000,
    async run({ healDaemon }, { volume, method, params }) {
      return { answer: await healDaemon.ask(method, { ...params, volume }, 60_000) };
    },
  }),
} as const;

export type SiteCallName = keyof typeof siteCalls;
export type SiteParams<N extends SiteCallName> = z.infer<(typeof siteCalls)[N]['params']>;
export type SiteResult<N extends SiteCallName> = z.infer<(typeof siteCalls)[N]['result']>;
