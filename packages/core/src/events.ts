import type { Gfid } from './gfid.ts';

/** What translators tell each other outside of fops. Child events travel up, parent events down. */
export type GraphEvent =
  /** `isLocal`: it is served by a process of this machine. */
  | { type: 'child-up'; isLocal?: boolean }
  | { type: 'child-down' }
  /** The first answer about a child is still outstanding. */
  | { type: 'child-connecting' }
  | { type: 'parent-up' }
  | { type: 'parent-down' }
  /**
   * Children that are not connected are needed: a request has failed for it. With `attempts` somebody says that they are
   * there, or waits for them: they are tried at once, and `attempts` gets promises that resolve when that has ended, well or not.
   */
  | { type: 'child-wanted'; attempts?: Promise<void>[] }
  /**
   * A brick tells that a file was changed by another client, that somebody waits for a lock, or (`accused`) that a brick now
   * says of another replica that it missed a change, or has what a client began and will not end; or (`recalled`) wants back what it promised: that nobody changes the file. Who has to do
   * something before somebody does puts it into `waits`.
   */
  | {
      type: 'upcall';
      gfid: Gfid;
      what: 'data' | 'metadata' | 'entry' | 'lock-contended' | 'accused' | 'recalled';
      domain?: string;
      name?: string | null;
      waits?: Promise<unknown>[];
      /** On a brick: the session that is told; absent: every session but `except`. */
      clientId?: string;
      except?: string;
    }
  /** A brick's storage blocked the event loop for so long on a call about this file or directory. */
  | { type: 'storage-slow'; gfid: Gfid; ms: number }
  /** A server does not let this client in, and would not the next time either: user, password or address are wrong. */
  | { type: 'refused'; reason: string }
  /** The brick lost this client's session: locks and open files have to be claimed again or given up. */
  | { type: 'session-lost' }
  /** One of several children was lost, or its session: what it would have told of changes by others may not have come. */
  | { type: 'upcalls-lost' }
  /**
   * On a brick: a block device has another holder. On the files of the device, internal locks that were not taken in the name
   * of an attachment with this `epoch` or a later one are given up, whoever has them.
   */
  | { type: 'attachment-revoked'; device: Gfid; epoch: number; gfids: readonly Gfid[] }
  /**
   * On a brick: others wait for a client's internal locks, and it gives no sign of life. Those under which nothing is done but by their fence are taken
   * from it.
   */
  | { type: 'session-silent'; clientId: string }
  /** On a brick: a client's session is over (its grace time too); what it held is released. */
  | { type: 'session-ended'; clientId: string };

const downward: ReadonlySet<GraphEvent['type']> = new Set([
  'parent-up',
  'parent-down',
  'child-wanted',
  'session-silent',
  'session-ended',
  'attachment-revoked',
]);

export function travelsUp(event: GraphEvent): boolean {
  return !downward.has(event.type);
}
