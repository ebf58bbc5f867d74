/**
 * What several children say of a name or file is not said in one instant. A file that was moved meanwhile had not come yet
 * where the answer was given early, and was gone where it was given late. It has its new place before it loses its old one: so who asks all
 * anew, after all have answered, sees it, unless that passes him by once more.
 */

import { movedAgoOf } from '../../lib/departures.ts';
import type { Distribute } from './distribute.ts';
import { isData, isDirectory, isLinkto, type LookupReply } from './lookup.ts';

/** Each needs a move of the same file that begins and ends in it. */
const looksMax = 5;

/** What all children say, asked again as long as a file may have passed by. `first` asks all; it began at `beganMs`. */
export async function lookedAt(
  d: Distribute,
  beganMs: number,
  first: () => Promise<LookupReply[]>,
  again: () => Promise<LookupReply[]>,
): Promise<LookupReply[]> {
  let began = beganMs;
  let replies = await first();
  for (let looks = 1; looks < looksMax && mayHavePassed(d, replies, began); looks++) {
    began = d.services.clock.nowMs();
    replies = await again();
  }
  return replies;
}

/** Nothing but traces of a file: linktos, or bricks that it left in that time. */
function mayHavePassed(d: Distribute, replies: readonly LookupReply[], beganMs: number): boolean {
  if (replies.some((reply) => isDirectory(reply) || isData(d, reply))) return false;
  if (replies.some((reply) => isLinkto(d, reply))) return true;
  return movedAgoOf(replies) < d.services.clock.nowMs() - beganMs;
}
