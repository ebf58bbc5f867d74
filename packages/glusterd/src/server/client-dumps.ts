/**
 * State dumps of clients: whoever has its volfile from this node hears the notice `statedump {token}`, and says by the method
 * `statedump.done` what became of it.
 */
import type { Clock } from '@mortar/core/ports.ts';
import type { ManagementCaller, ManagementServer } from '@mortar/rpc';
import { z } from 'zod';
import { reasonMaxLength } from '../operations/dump-here.ts';

/** Null: it has written one. */
export type DumpProblem = string | null;

const answerMs = 5000;
const doneSchema = z.object({
  token: z.string().max(64),
  path: z.string().max(4096).optional(),
  problem: z.string().max(reasonMaxLength).optional(),
});

export class ClientDumps {
  readonly #clock: Clock;
  /** Each for a few seconds. */
  readonly #waiting = new Map<string, { caller: ManagementCaller; done(problem: DumpProblem): void }>();
  #next = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  addMethods(server: ManagementServer): void {
    server.method('statedump.done', doneSchema, ({ token, path, problem }, { caller }) => {
      const waiting = this.#waiting.get(token);
      // Nobody answers for another client.
      if (waiting?.caller === caller) waiting.done(path === undefined ? (problem ?? 'it does not say why') : null);
      return {};
    });
  }

  ask(caller: ManagementCaller): Promise<DumpProblem> {
    const token = `${this.#next++}`;
    return new Promise((resolve) => {
      const done = (problem: DumpProblem) => {
        timer.cancel();
        this.#waiting.delete(token);
        resolve(problem);
      };
      const timer = this.#clock.after(answerMs, () => done(`no answer within ${answerMs / 1000} s`));
      this.#waiting.set(token, { caller, done });
      caller.notify('statedump', { token });
    });
  }
}
