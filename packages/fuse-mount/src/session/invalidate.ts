/** What the kernel has cached and must not believe any more. */
import type { GraphEvent } from '@mortar/core';
import { invalidateEntry, invalidateInode } from '../protocol/index.ts';
import type { Session } from './session.ts';

export function invalidateByUpcall(session: Session, event: Extract<GraphEvent, { type: 'upcall' }>): void {
  const node = session.nodes.byGfid(event.gfid);
  if (!node) return;
  switch (event.what) {
    case 'metadata':
      session.notices.stale(node, 'attributes');
      return;
    case 'data':
      session.notices.stale(node, 'data');
      return;
    case 'entry':
      session.channel.notify(invalidateInode(node.id, 0, 0));
      if (event.name) session.channel.notify(invalidateEntry(node.id, event.name));
      return;
    case 'lock-contended':
    case 'accused':
    case 'recalled':
      return;
  }
}
