/** The method `cli.command`: one request of the command line. */
import { editDistance, nearest } from '@mortar/core/nearest.ts';
import type { Context } from '../context.ts';
import { OperationError } from '../errors.ts';
import { eventOf } from '../events/names.ts';
import { addBricks } from '../operations/add-brick.ts';
import { volumeBarrier } from '../operations/barrier.ts';
import { clearLocks } from '../operations/clear-locks.ts';
import { breakLock, showLock } from '../operations/cluster-lock.ts';
import { createVolume } from '../operations/create.ts';
import { getState } from '../operations/get-state.ts';
import { healVolume } from '../operations/heal.ts';
import { getOptions, resetVolume, setOptions } from '../operations/options.ts';
import { volumeProfile } from '../operations/profile.ts';
import { volumeRebalance } from '../operations/rebalance.ts';
import { removeBricks } from '../operations/remove-brick.ts';
import { replaceBrick, resetBrick } from '../operations/replace-brick.ts';
import { peerData, peerLog, volumeInfo } from '../operations/show.ts';
import { startVolume } from '../operations/start.ts';
import { statedump } from '../operations/statedump.ts';
import { volumeStatus } from '../operations/status.ts';
import { deleteVolume, stopVolume } from '../operations/stop.ts';
import { detach, probe, rotateLogs, syncVolumes } from '../operations/tools.ts';
import { volumeTop } from '../operations/top.ts';
import { resetUuid } from '../operations/uuid-reset.ts';
import { noSuchVolume } from '../operations/volumes.ts';
import { changeWebhook, eventsStatus, testWebhook } from '../operations/webhooks.ts';
import { volumeSetHelp } from '../options/index.ts';
import { recoverPool } from '../pool/recover.ts';
import type { CommandReply, ReplyData } from '../protocol/replies.ts';
import type { Request, RequestOf, Verb } from '../protocol/requests.ts';
import { execute } from '../transaction/operation.ts';
import { VolgenError } from '../volgen/index.ts';
import { asEdited } from './edited-volfile.ts';

type Handlers = { [V in Verb]: (context: Context, request: RequestOf<V>) => Promise<ReplyData[V]> };

const handlers: Handlers = {
  'volume.create': (context, request) => execute(context, createVolume(request)),
  'volume.start': (context, request) => execute(context, startVolume(request)),
  'volume.stop': (context, request) => execute(context, stopVolume(request)),
  'volume.delete': (context, request) => execute(context, deleteVolume(request)),
  'volume.add-brick': (context, request) => execute(context, addBricks(request)),
  'volume.remove-brick': removeBricks,
  'volume.rebalance': volumeRebalance,
  'volume.replace-brick': (context, request) => execute(context, replaceBrick(request)),
  'volume.reset-brick': (context, request) => execute(context, resetBrick(request)),
  'volume.set': (context, request) => execute(context, setOptions(request)),
  'volume.reset': (context, request) => execute(context, resetVolume(request)),
  'volume.info': async (context, request) => volumeInfo(context, request.volume),
  'volume.list': async (context) => ({ names: [...context.store.state.volumes.keys()] }),
  'volume.status': volumeStatus,
  'volume.set.help': async () => ({ text: volumeSetHelp() }),
  'volume.get': async (context, request) => getOptions(context, request),
  'volume.heal': healVolume,
  'volume.profile': volumeProfile,
  'volume.top': volumeTop,
  'volume.barrier': volumeBarrier,
  'volume.clear-locks': clearLocks,
  'volume.statedump': statedump,
  'volume.log.rotate': rotateLogs,
  'volume.sync': syncVolumes,
  'peer.probe': probe,
  'peer.detach': detach,
  'peer.status': async (context) => ({ peers: peerData(context) }),
  'pool.list': async (context) => ({ peers: peerData(context), self: context.store.state.node.uuid }),
  'system.getspec': async (context, { volume }) => {
    const text = context.volfiles.text(volume, true);
    if (text === null) throw noSuchVolume(volume);
    return { text: await asEdited(context, volume, true, text) };
  },
  'system.uuid.get': async (context) => ({ uuid: context.store.state.node.uuid }),
  'system.uuid.reset': (context) => execute(context, resetUuid()),
  'system.fsm.log': peerLog,
  'system.lock.show': showLock,
  'system.lock.break': breakLock,
  'system.pool.recover': recoverPool,
  'events.webhook-add': (context, request) => execute(context, changeWebhook(request)),
  'events.webhook-mod': (context, request) => execute(context, changeWebhook(request)),
  'events.webhook-del': (context, request) => execute(context, changeWebhook(request)),
  'events.webhook-test': testWebhook,
  'events.status': eventsStatus,
  'system.getwd': async (context) => ({ path: context.directories.work }),
  'get-state': getState,
};

/** Requests that only look are not worth a line of the history. */
const silent: ReadonlySet<Verb> = new Set<Verb>([
  'system.getspec',
  'system.uuid.get',
  'system.getwd',
  'system.fsm.log',
  'system.lock.show',
  'volume.set.help',
]);

export async function runCommand(context: Context, request: Request, line: string): Promise<CommandReply<unknown>> {
  const handler = handlers[request.verb] as (context: Context, request: Request) => Promise<unknown>;
  try {
    const data = await handler(context, request);
    const told = eventOf(request);
    if (told) {
      context.events?.emit(told.event, told.message);
      context.log.write('INFO', 'management', `done: ${line}`);
    }
    await record(context, request.verb, line, 'SUCCESS');
    return { ok: true, data };
  } catch (error) {
    const known = error instanceof VolgenError ? new OperationError(error.message) : error;
    if (!(known instanceof OperationError)) throw error;
    await record(context, request.verb, line, `FAILED : ${known.message}`);
    return { ok: false, error: { ...known.toData(), ...meantBy(context, known) } };
  }
}

/** Longer names than a volume can have are not compared. */
const nameMax = 255;

/** The volume that a mistyped name most likely meant: one that has at least a character of it in its place. */
function meantBy({ store }: Context, { noVolume }: OperationError): { meant?: string } {
  if (noVolume === undefined || noVolume.length > nameMax) return {};
  const meant = nearest(noVolume, store.state.volumes.keys());
  if (meant === undefined || editDistance(noVolume, meant) >= noVolume.length) return {};
  return { meant };
}

/** `cmd_history.log`: who manages looks up what was done when. */
async function record(context: Context, verb: Verb, line: string, outcome: string): Promise<void> {
  if (silent.has(verb)) return;
  const { sec, nsec } = context.clock.wall();
  const time = new Date(sec * 1000).toISOString();
  const micros = String(Math.floor(nsec / 1000)).padStart(6, '0');
  const text = `${line} : ${outcome}`.replaceAll(/[\n\r]/g, ' ');
  const entry = `[${time.slice(0, 10)} ${time.slice(11, 19)}.${micros} +0000]  : ${text}\n`;
  try {
    await context.files.append(`${context.directories.log}/cmd_history.log`, entry);
  } catch (error) {
    context.log.write('WARNING', 'management', `cmd_history.log: ${(error as Error).message}`);
  }
}
