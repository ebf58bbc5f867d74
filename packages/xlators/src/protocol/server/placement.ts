/** Where clients take files to be, and who may not come any more once files were moved (docs/distribute.md, Waiting for clients). */
import { Errno } from '@mortar/core';
import type { Hello, Refusal, ServerSession } from '@mortar/rpc';

/** A client as a person finds it. */
export interface ClientName {
  readonly program: string;
  readonly host: string;
  readonly processId: number;
}

type Session = Pick<ServerSession, 'hello' | 'peer'>;

/** Client ids begin with `HOST-PID-`. */
export function clientName({ hello, peer }: Session): ClientName {
  const { clientId, program, processId } = hello;
  const end = clientId.indexOf(`-${processId}-`);
  return { program, host: end > 0 ? clientId.slice(0, end) : peer.address, processId };
}

/** What a client said of itself. */
export interface ToldPlacement {
  readonly hello: Pick<Hello, 'placement' | 'placementVersion'>;
}

export class PlacementFence {
  #placement: string | undefined;
  #version = 0;

  /** Files move by this placement from now on, unless a client is there that goes by another one. */
  set(sessions: readonly ToldPlacement[], placement: string, version: number): boolean {
    if (sessions.some(({ hello }) => isOther(hello, placement))) return false;
    if (version < this.#version) return true;
    this.#placement = placement;
    this.#version = version;
    return true;
  }

  /**
   * A client that was silent for so long that its session is forgotten must not go on in a graph in which it does not find
   * what was moved. Who has a newer volfile than the rebalance had is right, and who does not tell its version is let in.
   */
  refusalOf({
    placement = '',
    placementVersion = 0,
  }: Pick<Hello, 'placement' | 'placementVersion'>): Refusal | undefined {
    if (this.#placement === undefined || placementVersion === 0 || placementVersion >= this.#version) return undefined;
    if (!isOther({ placement }, this.#placement)) return undefined;
    return {
      errno: Errno.ESTALE,
      reason: `files have moved to other bricks since version ${placementVersion} of the volume, which this graph was made of: the new volfile is needed`,
    };
  }
}

function isOther({ placement = '' }: Pick<Hello, 'placement'>, wanted: string): boolean {
  return placement !== '' && placement !== wanted;
}
