/** Events that glusterd tells of, by the names that GlusterFS's eventsd has for them, and what commands tell. */
import type { Request } from '../protocol/requests.ts';

export type EventName =
  | `VOLUME_${'CREATE' | 'START' | 'STOP' | 'DELETE' | 'SET' | 'RESET' | 'ADD_BRICK' | 'REBALANCE_START' | 'REBALANCE_STOP' | 'REBALANCE_COMPLETE' | 'REBALANCE_FAILED'}`
  | `VOLUME_REMOVE_BRICK_${'START' | 'STOP' | 'COMMIT' | 'FORCE'}`
  | `BRICK_${'REPLACE' | 'RESET_START' | 'RESET_COMMIT' | 'CONNECTED' | 'DISCONNECTED'}`
  | `PEER_${'ATTACH' | 'DETACH' | 'CONNECT' | 'DISCONNECT'}`
  | `QUORUM_${'LOST' | 'REGAINED'}`;

export interface Told {
  event: EventName;
  message: Record<string, string | number>;
}

const force = (isForced: boolean) => ({ force: Number(isForced) });

/** What a command that succeeded did; null: nothing that anybody is told. */
export function eventOf(request: Request): Told | null {
  switch (request.verb) {
    case 'volume.create':
      return { event: 'VOLUME_CREATE', message: { name: request.volume } };
    case 'volume.start':
      return { event: 'VOLUME_START', message: { name: request.volume, ...force(request.force) } };
    case 'volume.stop':
      return { event: 'VOLUME_STOP', message: { name: request.volume, ...force(request.force) } };
    case 'volume.delete':
      return { event: 'VOLUME_DELETE', message: { name: request.volume } };
    case 'volume.set':
      return { event: 'VOLUME_SET', message: { name: request.volume, options: optionsOf(request) } };
    case 'volume.reset':
      return { event: 'VOLUME_RESET', message: { name: request.volume, option: request.key } };
    case 'volume.add-brick':
      return { event: 'VOLUME_ADD_BRICK', message: { volume: request.volume, bricks: request.bricks.join(' ') } };
    case 'volume.remove-brick':
      return removal(request);
    case 'volume.rebalance':
      if (request.operation === 'status') return null;
      return {
        event: request.operation === 'stop' ? 'VOLUME_REBALANCE_STOP' : 'VOLUME_REBALANCE_START',
        message: { volume: request.volume },
      };
    case 'volume.replace-brick':
      return {
        event: 'BRICK_REPLACE',
        message: { volume: request.volume, 'source-brick': request.source, 'destination-brick': request.target },
      };
    case 'volume.reset-brick':
      return {
        event: request.action === 'start' ? 'BRICK_RESET_START' : 'BRICK_RESET_COMMIT',
        message: { volume: request.volume, 'source-brick': request.source },
      };
    case 'peer.probe':
      return { event: 'PEER_ATTACH', message: { host: request.host } };
    case 'peer.detach':
      return { event: 'PEER_DETACH', message: { host: request.host } };
    default:
      return null;
  }
}

function removal(request: Extract<Request, { verb: 'volume.remove-brick' }>): Told | null {
  const { action, volume, bricks } = request;
  if (action === 'status') return null;
  const name = action.toUpperCase() as 'START' | 'STOP' | 'COMMIT' | 'FORCE';
  return { event: `VOLUME_REMOVE_BRICK_${name}`, message: { volume, bricks: bricks.join(' ') } };
}

function optionsOf({ pairs, group }: Extract<Request, { verb: 'volume.set' }>): string {
  return group === undefined ? pairs.map(({ key, value }) => `${key}=${value}`).join(' ') : `group=${group}`;
}
