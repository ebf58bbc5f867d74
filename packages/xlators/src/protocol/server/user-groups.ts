/** Supplementary groups as this host has them, for `server.manage-gids`: not those that a client claims. */
import { type Clock, Errno, errnoName, type Log } from '@mortar/core';
import type { Accounts } from '../../lib/accounts.ts';

/** Users remembered; the one asked for longest ago goes first. */
const usersMax = 4096;
/** A directory of users that is silent for so long is told of: requests wait for it. */
const slowMs = 5_000;

interface Known {
  readonly groups: readonly number[];
  readonly freshUntilMs: number;
}

export class UserGroups {
  lifetimeMs: number;
  readonly #accounts: Accounts;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #name: string;
  readonly #known = new Map<number, Known>();
  readonly #asked = new Map<number, Promise<readonly number[]>>();
  /** One question at a time: a directory that hangs holds one thread of the process, not all. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(accounts: Accounts, { clock, log }: { clock: Clock; log: Log }, name: string, lifetimeMs: number) {
    this.#accounts = accounts;
    this.#clock = clock;
    this.#log = log;
    this.#name = name;
    this.lifetimeMs = lifetimeMs;
  }

  /** A promise where nothing is known of the user yet. What has grown old serves until it is renewed. */
  of(uid: number): readonly number[] | Promise<readonly number[]> {
    const known = this.#known.get(uid);
    if (known && this.#clock.nowMs() < known.freshUntilMs) return known.groups;
    const answer = this.#asked.get(uid) ?? this.#ask(uid);
    return known && this.lifetimeMs > 0 ? known.groups : answer;
  }

  #ask(uid: number): Promise<readonly number[]> {
    const answer = this.#last.then(() => this.#find(uid));
    this.#asked.set(uid, answer);
    this.#last = answer;
    return answer;
  }

  async #find(uid: number): Promise<readonly number[]> {
    const tooLong = this.#clock.after(slowMs, () =>
      this.#warn(
        `the groups of user ${uid} are looked for since ${slowMs / 1000} s; requests of users who are not known yet wait`,
      ),
    );
    // It must not reject: who is served by what is known waits for nothing, and all that come after wait in line.
    const found = await this.#accounts.groupsOf(uid).catch((error: Error) => error);
    tooLong.cancel();
    this.#asked.delete(uid);
    const groups = typeof found === 'number' || found instanceof Error ? this.#withoutAnswer(uid, found) : found;
    this.#known.delete(uid);
    this.#known.set(uid, { groups, freshUntilMs: this.#clock.nowMs() + this.lifetimeMs });
    if (this.#known.size > usersMax) this.#known.delete(this.#known.keys().next().value!);
    return groups;
  }

  #withoutAnswer(uid: number, failed: number | Error): readonly number[] {
    const isUnknown = failed === -Errno.ENOENT;
    const known = isUnknown ? undefined : this.#known.get(uid)?.groups;
    const problem = failed instanceof Error ? failed.message : errnoName(-failed as Errno);
    const why = isUnknown ? 'this host has no such user' : problem;
    const effect = known ? 'those known before go on' : 'its requests run without supplementary groups';
    this.#warn(`the groups of user ${uid} cannot be found (server.manage-gids): ${why}; ${effect}`);
    return known ?? [];
  }

  #warn(text: string): void {
    this.#log.write('WARNING', this.#name, text);
  }
}
