/** What the signals mean to every daemon. */

export interface SignalActions {
  /** SIGTERM, SIGINT: end in good order. */
  stop(signal: NodeJS.Signals): Promise<void>;
  /** SIGHUP: open the log file anew. */
  reopen(): void;
  /** SIGUSR1: write a state dump. */
  dump(): void;
  /** SIGUSR2: write the counters. */
  metrics?(): void;
  /** One of the last three could not be done. */
  failed(text: string): void;
}

/** A process that cannot end in good order within this time ends anyway; callers send SIGKILL after 5 s. */
const stopLimitMs = 4500;

/**
 * Node keeps SIGUSR1 for its debugger until somebody listens, so this is called first thing; `actions` is asked for
 * when a signal comes and may not have them yet.
 */
export function handleSignals(actions: () => SignalActions | undefined): void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    const now = actions();
    if (!now) process.exit(0);
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), stopLimitMs).unref();
    now.stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`while ending: ${error instanceof Error ? error.stack : error}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const on = (signal: 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2', act: (now: SignalActions) => void) =>
    process.on(signal, () => {
      const now = actions();
      if (now) trying(signal, now, act);
    });
  on('SIGHUP', (now) => now.reopen());
  on('SIGUSR1', (now) => now.dump());
  on('SIGUSR2', (now) => now.metrics?.());
}

/** A full disk or a missing directory must not end a service. An error without a code is a bug, and treated as all bugs are. */
function trying(signal: string, now: SignalActions, act: (now: SignalActions) => void): void {
  try {
    act(now);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    now.failed(`${signal.replace('SIG', 'sig:')} ${error.message}`);
  }
}
