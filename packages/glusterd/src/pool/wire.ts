/** `Member` over calls by name with JSON: what is sent and what serves it, both checked. */
import type { z } from 'zod';
import { acceptReplySchema, changesSchema, holderReplySchema, lockReplySchema, memberCalls } from './schemas.ts';
import type { Changes, Member } from './types.ts';

export type MemberCall = keyof typeof memberCalls;
export const memberCallNames = Object.keys(memberCalls) as readonly MemberCall[];

/** A member that is somewhere else; `call` rejects when it cannot be reached. */
export function memberOver(call: (name: MemberCall, params: unknown) => Promise<unknown>): Member {
  return {
    lock: async (ballot, operation, lifeMs) =>
      lockReplySchema.parse(await call('lock', { ballot, operation, lifeMs } satisfies Params<'lock'>)),
    accept: async (proposal) => acceptReplySchema.parse(await call('accept', { proposal })),
    learn: async (proposal) => void (await call('learn', { proposal })),
    unlock: async (ballot) => void (await call('unlock', { ballot })),
    holder: async (isBroken) => holderReplySchema.parse(await call('holder', { isBroken })),
    changes: async (since) => changesSchema.parse(await call('changes', { since })) satisfies Changes,
  };
}

type Params<C extends MemberCall> = z.infer<(typeof memberCalls)[C]>;

/** Serves such a call; rejects what is not valid. */
export async function answerFor(member: Member, name: MemberCall, params: unknown): Promise<unknown> {
  switch (name) {
    case 'lock': {
      const { ballot, operation, lifeMs } = memberCalls.lock.parse(params);
      return member.lock(ballot, operation, lifeMs);
    }
    case 'accept':
      return member.accept(memberCalls.accept.parse(params).proposal);
    case 'learn':
      return member.learn(memberCalls.learn.parse(params).proposal);
    case 'unlock':
      return member.unlock(memberCalls.unlock.parse(params).ballot);
    case 'holder':
      return member.holder(memberCalls.holder.parse(params).isBroken);
    case 'changes':
      return member.changes(memberCalls.changes.parse(params).since);
  }
}
