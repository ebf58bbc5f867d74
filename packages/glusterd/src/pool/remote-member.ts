/** A member of the pool on another node, asked over its connection. */
import { acceptReplySchema, changesReplySchema, lockReplySchema } from './messages.ts';
import type { AcceptReply, Ballot, Changes, LockReply, Member, Proposal } from './types.ts';

/** One call to the member; adds who asks. */
export type Ask = (method: string, params: Record<string, unknown>) => Promise<unknown>;

export class RemoteMember implements Member {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async lock(ballot: Ballot, operation: string, lifeMs: number): Promise<LockReply> {
    return lockReplySchema.parse(await this.#ask('pool.lock', { ballot, operation, lifeMs })) as LockReply;
  }

  async accept(proposal: Proposal): Promise<AcceptReply> {
    return acceptReplySchema.parse(await this.#ask('pool.accept', { proposal }));
  }

  async learn(proposal: Proposal): Promise<void> {
    await this.#ask('pool.learn', { proposal });
  }

  async unlock(ballot: Ballot): Promise<void> {
    await this.#ask('pool.unlock', { ballot });
  }

  async changes(since: number): Promise<Changes> {
    return changesReplySchema.parse(await this.#ask('pool.changes', { since })) as Changes;
  }
}
