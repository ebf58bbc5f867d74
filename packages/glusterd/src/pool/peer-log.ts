/** What became of this node's peers lately: for `system:: fsm log`. */
import type { Clock } from '@mortar/core/ports.ts';

export interface PeerTransition {
  uuid: string;
  hostname: string;
  from: string;
  to: string;
  event: string;
  /** Seconds since 1970. */
  at: number;
}

export type PeerState = 'Unknown' | 'Peer in Cluster (Connected)' | 'Peer in Cluster (Disconnected)';

const kept = 50;

export class PeerLog {
  readonly #clock: Clock;
  readonly #states = new Map<string, { hostname: string; state: PeerState }>();
  #transitions: PeerTransition[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** These are the peers now. */
  members(peers: readonly { uuid: string; hostnames: readonly string[] }[]): void {
    for (const [uuid, { hostname }] of this.#states)
      if (!peers.some((peer) => peer.uuid === uuid)) {
        this.#goes(uuid, hostname, 'Unknown', 'left the pool');
        this.#states.delete(uuid);
      }
    for (const { uuid, hostnames } of peers)
      if (!this.#states.has(uuid)) this.#goes(uuid, hostnames[0]!, 'Peer in Cluster (Disconnected)', 'joined the pool');
  }

  connection(uuid: string, isUp: boolean): void {
    const known = this.#states.get(uuid);
    const to = isUp ? 'Peer in Cluster (Connected)' : 'Peer in Cluster (Disconnected)';
    if (known && known.state !== to)
      this.#goes(uuid, known.hostname, to, isUp ? 'connection established' : 'connection lost');
  }

  transitions(): readonly PeerTransition[] {
    return this.#transitions;
  }

  #goes(uuid: string, hostname: string, to: PeerState, event: string): void {
    const from = this.#states.get(uuid)?.state ?? 'Unknown';
    this.#states.set(uuid, { hostname, state: to });
    this.#transitions.push({ uuid, hostname, from, to, event, at: this.#clock.wall().sec });
    this.#transitions = this.#transitions.slice(-kept);
  }
}
