/** Bounds of sessions; every one can be set. */
export interface ServerSessionLimits {
  /** Requests of one session that run at a time; further ones are left unread. Waiting locks do not count. */
  outstanding: number;
  /** Bytes of payload that they hold. */
  outstandingBytes: number;
  /** Lock requests of one session that wait at a time; further ones get ENOLCK. */
  lockWaiters: number;
  fds: number;
  outcomes: number;
  outcomeBytes: number;
  sessions: number;
}

export const serverSessionLimits: Readonly<ServerSessionLimits> = {
  outstanding: 1024,
  outstandingBytes: 64 << 20,
  lockWaiters: 65_536,
  fds: 262_144,
  outcomes: 4096,
  outcomeBytes: 8 << 20,
  sessions: 16_384,
};

export interface ClientSessionLimits {
  /** Requests on the way at a time; further ones queue. Locks do not count. */
  outstanding: number;
  outstandingBytes: number;
  /** Queued requests; further ones get ENOBUFS. */
  queued: number;
}

export const clientSessionLimits: Readonly<ClientSessionLimits> = {
  outstanding: 4096,
  outstandingBytes: 64 << 20,
  queued: 16_384,
};

/** How long a session outlives its connection. */
export const defaultGraceMs = 10_000;
