import type { RequestOf, StatusDaemon, StatusSection } from '@mortar/glusterd/protocol/requests.ts';
import { UsageError } from '../session.ts';
import { canonicalPath } from './brick-words.ts';

const sections = ['detail', 'clients', 'client-list', 'mem', 'inode', 'fd', 'callpool', 'tasks'] as const;
const daemons = ['nfs', 'shd', 'quotad', 'snapd', 'bitd', 'scrub'] as const;

const isSection = (word: string): word is StatusSection => (sections as readonly string[]).includes(word);
const isDaemon = (word: string): word is StatusDaemon => (daemons as readonly string[]).includes(word);

/** Sections that a daemon has not, and what is said then. */
const unavailable: Partial<Record<StatusDaemon, { without: readonly StatusSection[]; text: string }>> = {
  nfs: { without: ['fd', 'detail', 'tasks'], text: 'Detail/FD/Tasks status not available for NFS Servers' },
  shd: {
    without: ['fd', 'clients', 'detail', 'tasks'],
    text: 'Detail/FD/Clients/Tasks status not available for Self-heal Daemons',
  },
  quotad: {
    without: ['fd', 'clients', 'detail', 'inode'],
    text: 'Detail/FD/Clients/Inode status not available for Quota Daemon',
  },
  snapd: {
    without: ['fd', 'clients', 'detail', 'inode'],
    text: 'Detail/FD/Clients/Inode status not available for snap daemon',
  },
};

export function parseStatus(words: readonly string[]): RequestOf<'volume.status'> {
  const [, , first, second, third] = words;
  const request: RequestOf<'volume.status'> = { verb: 'volume.status' };
  if (words.length > 5) throw new UsageError();
  if (first === undefined) return request;
  if (first !== 'all') request.volume = first;
  if (second === undefined) return request;
  if (third === undefined && isSection(second)) return { ...request, section: second };
  if (first === 'all')
    throw new UsageError([
      third === undefined ? `${second} is not a valid status option` : 'Cannot specify brick/nfs for "all"',
    ]);
  if (third !== undefined && !isSection(third)) throw new UsageError([`${third} is not a valid status option`]);
  if (third !== undefined) request.section = third;
  if (!isDaemon(second)) {
    if (third === 'tasks') throw new UsageError(['Tasks status not available for bricks']);
    const colon = second.lastIndexOf(':');
    const brick = colon < 0 ? second : `${second.slice(0, colon)}:${canonicalPath(second.slice(colon + 1))}`;
    return { ...request, brick };
  }
  const rule = unavailable[second];
  if (request.section !== undefined && rule?.without.includes(request.section)) throw new UsageError([rule.text]);
  return { ...request, daemon: second };
}
