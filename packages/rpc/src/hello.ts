/** Handshake messages. They are read before anybody is trusted, so every field is checked by hand (no schema library). */
import { asErrno, Errno } from '@mortar/core/errno.ts';
import { FrameError } from './frame.ts';
import { packMessage, unpackMessage } from './message.ts';

/** Versions of the wire format that this side speaks. */
export const protocolVersions: readonly number[] = [1];

export interface Hello {
  protocols: readonly number[];
  kind: 'session' | 'management';
  /** Who connects, for logs: `glusterfs`, `gluster`, `glusterd`. */
  program: string;
  processId: number;
  /** `HOST-PID-time-graph-volume`; empty for management connections. */
  clientId: string;
  /** What to attach to: a brick's path, for a brick. */
  subvolume: string;
  volumeId: string;
  /** The directory of the volume that is wanted, `/a/b`; empty for all of it. */
  subdirectory: string;
  user: string;
  password: string;
  opVersion: number;
  /** The session to go on with, from an earlier Welcome; empty for a new one. */
  sessionId: string;
  features: readonly string[];
  /** Digest of where the client takes files to be (core's `placementOf`); absent or empty: it distributes none, or is an older one. */
  placement?: string;
  /** The version of the volume that its graph was made of; absent or 0: not known. */
  placementVersion?: number;
}

export interface Welcome {
  protocol: number;
  sessionId: string;
  /** Changes when the server process starts anew. */
  serverId: string;
  /** How long the session outlives its connection, in ms. */
  graceMs: number;
  resumed: boolean;
  features: readonly string[];
}

export interface Refusal {
  errno: Errno;
  reason: string;
}

/**
 * A brick that refuses nobody to open a directory, unless it is gone: it need not be asked before somebody reads in it.
 */
export const lateOpendir = 'late-opendir';

/** A brick that does the steps of a compound behind a lookup `ifQuiet` only where it is, and under the lock before it (core's `Xdata`). */
export const guardedSteps = 'guarded-steps';

/** The handshake ended with a reasoned no; trying again unchanged won't help. */
export class RefusedError extends Error {
  readonly code = 'EREFUSED';
  readonly errno: Errno;

  constructor(refusal: Refusal) {
    super(refusal.reason);
    this.errno = refusal.errno;
  }
}

const textMax = 4096;
const listMax = 64;
const placementMax = 64;

class Fields {
  readonly #map: Record<string, unknown>;

  constructor(bytes: Uint8Array) {
    const value = unpackMessage(bytes);
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new FrameError('handshake', 'the handshake is no dictionary');
    this.#map = value as Record<string, unknown>;
  }

  text(name: string, max = textMax): string {
    const value = this.#map[name] ?? '';
    if (typeof value !== 'string' || value.length > max) throw bad(name);
    return value;
  }

  number(name: string): number {
    const value = this.#map[name] ?? 0;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw bad(name);
    return value;
  }

  flag(name: string): boolean {
    const value = this.#map[name] ?? false;
    if (typeof value !== 'boolean') throw bad(name);
    return value;
  }

  list<T>(name: string, isItem: (item: unknown) => item is T): T[] {
    const value = this.#map[name] ?? [];
    if (!Array.isArray(value) || value.length > listMax || !value.every(isItem)) throw bad(name);
    return value;
  }
}

function bad(name: string): FrameError {
  return new FrameError('handshake', `field '${name}' of the handshake is not what it must be`);
}

const isText = (item: unknown): item is string => typeof item === 'string' && item.length <= textMax;
const isVersion = (item: unknown): item is number => typeof item === 'number' && Number.isSafeInteger(item);

export function encodeHello(hello: Hello): Buffer {
  return packMessage(hello);
}

export function decodeHello(bytes: Uint8Array): Hello {
  const fields = new Fields(bytes);
  const kind = fields.text('kind');
  if (kind !== 'session' && kind !== 'management') throw bad('kind');
  return {
    protocols: fields.list('protocols', isVersion),
    kind,
    program: fields.text('program'),
    processId: fields.number('processId'),
    clientId: fields.text('clientId'),
    subvolume: fields.text('subvolume'),
    volumeId: fields.text('volumeId'),
    subdirectory: fields.text('subdirectory'),
    user: fields.text('user'),
    password: fields.text('password'),
    opVersion: fields.number('opVersion'),
    sessionId: fields.text('sessionId'),
    features: fields.list('features', isText),
    placement: fields.text('placement', placementMax),
    placementVersion: fields.number('placementVersion'),
  };
}

export function encodeWelcome(welcome: Welcome): Buffer {
  return packMessage(welcome);
}

export function decodeWelcome(bytes: Uint8Array): Welcome {
  const fields = new Fields(bytes);
  return {
    protocol: fields.number('protocol'),
    sessionId: fields.text('sessionId'),
    serverId: fields.text('serverId'),
    graceMs: fields.number('graceMs'),
    resumed: fields.flag('resumed'),
    features: fields.list('features', isText),
  };
}

export function encodeRefusal(refusal: Refusal): Buffer {
  return packMessage(refusal);
}

export function decodeRefusal(bytes: Uint8Array): Refusal {
  const fields = new Fields(bytes);
  return { errno: asErrno(fields.number('errno') || Errno.EIO), reason: fields.text('reason') };
}

/** The best version that both sides speak, or a refusal that names both lists. */
export function chooseProtocol(offered: readonly number[]): number | Refusal {
  const common = protocolVersions.filter((version) => offered.includes(version));
  if (common.length > 0) return Math.max(...common);
  return {
    errno: Errno.EPROTONOSUPPORT,
    reason: `protocol version ${offered.join(', ') || 'none'} is offered, ${protocolVersions.join(', ')} is spoken here`,
  };
}
