import type { Clock, Log, Metrics, Random } from '@mortar/core/ports.ts';
import type { ClientFds } from '../codec/coder.ts';
import type { FrameLimits } from '../frame.ts';
import type { Hello, Refusal, Welcome } from '../hello.ts';
import type { Address, Transport } from '../stream.ts';
import type { ClientSessionLimits } from './limits.ts';
import type { Upcall } from './notices.ts';

export type Identity = Pick<
  Hello,
  | 'program'
  | 'processId'
  | 'clientId'
  | 'subvolume'
  | 'volumeId'
  | 'subdirectory'
  | 'user'
  | 'password'
  | 'opVersion'
  | 'placement'
  | 'placementVersion'
>;

export interface ClientSessionEvents {
  /** Before each attempt. */
  connecting?(): void;
  /**
   * The handshake is through. Until the promise resolves only requests with `isRecovery` pass: files are opened again,
   * locks claimed. A rejection gives the connection up.
   */
  attached?(welcome: Welcome): Promise<void> | void;
  /** Requests pass. */
  up?(): void;
  /** Requests fail from now on. Told once for each `up`, and for the first attempt that fails. */
  down?(message: string): void;
  /** The server did not let this client in; it is tried again all the same. */
  refused?(refusal: Refusal): void;
  upcall?(upcall: Upcall): void;
}

export interface ClientSessionOptions {
  clock: Clock;
  random: Random;
  log?: Log;
  metrics?: Metrics;
  name: string;
  transport: Transport;
  /** Where the brick is now; asked before each attempt. A rejection counts as a failed attempt. */
  resolve(): Promise<Address>;
  /** Read before each handshake. */
  identity: Identity;
  fds: ClientFds;
  events: ClientSessionEvents;
  pingTimeoutMs?: number;
  /** How long a request may take if its call says nothing; 0: for ever. Locks that wait are exempt. */
  requestTimeoutMs?: number;
  limits?: Partial<ClientSessionLimits>;
  frameLimits?: FrameLimits;
}

/** `code` of an error of `resolve` that says for certain that the server's process is not running. */
export const serverGoneCode = 'ESERVERGONE';
