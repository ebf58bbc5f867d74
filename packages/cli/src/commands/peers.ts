/** peer probe, detach, status; pool list; system:: fsm log. */
import type { PeerData, PeerTransitionData } from '@mortar/glusterd/protocol/replies.ts';
import type { Handler } from '../commands.ts';
import { line } from '../io.ts';
import { fail, succeedXml } from '../outcome.ts';
import { UsageError } from '../session.ts';
import { type Element, element, outcome, printDocument } from '../xml.ts';
import { isHostName } from './brick-words.ts';

export const probe: Handler = async (session, words) => {
  const host = words[2];
  if (host === undefined || words.length !== 3) throw new UsageError();
  if (!isHostName(host)) throw new UsageError([`${host} is an invalid address`], true);
  const reply = await session.request(words, { verb: 'peer.probe', host });
  if (!reply.ok) return fail(session, 'peer probe: failed: ', reply.error);
  const { message, errno } = reply.data;
  if (session.flags.xml)
    printDocument(session, [...outcome(0, errno), ...(message === undefined ? [] : [element('output', message)])]);
  else line(session.io, `peer probe: ${message ?? 'success'}`);
  return 0;
};

const detachQuestion =
  'All clients mounted through the peer which is getting detached need to be remounted using one of the other active ' +
  'peers in the trusted storage pool to ensure client gets notification on any changes done on the gluster ' +
  'configuration and if the same has been done do you want to proceed?';

export const detach: Handler = async (session, words) => {
  const [, , host, force] = words;
  if (host === undefined || words.length > 4 || (force !== undefined && force !== 'force')) throw new UsageError();
  if (!isHostName(host)) throw new UsageError([`${host} is an invalid address`], true);
  if (!(await session.ask(detachQuestion))) return 0;
  const reply = await session.request(words, { verb: 'peer.detach', host, force: force !== undefined });
  if (!reply.ok) return fail(session, 'peer detach: failed: ', reply.error);
  if (session.flags.xml) printDocument(session, [...outcome(0), element('output', 'success')]);
  else line(session.io, 'peer detach: success');
  return 0;
};

export const status: Handler = async (session, words) => {
  if (words.length !== 2) throw new UsageError();
  const reply = await session.request(words, { verb: 'peer.status' });
  if (!reply.ok) return fail(session, 'peer status: failed: ', reply.error);
  const { peers } = reply.data;
  if (session.flags.xml) return succeedXml(session, [element('peerStatus', peers.map(peerElement), 'peer')]);
  line(session.io, `Number of Peers: ${peers.length}`);
  for (const peer of peers) session.io.out(peerText(peer));
  return 0;
};

function connection(peer: PeerData): string {
  return peer.connected ? 'Connected' : 'Disconnected';
}

function peerText(peer: PeerData): string {
  const others = peer.hostnames.filter((name) => name !== peer.hostname);
  const names = others.length > 0 ? `Other names:\n${others.join('\n')}\n` : '';
  return `\nHostname: ${peer.hostname}\nUuid: ${peer.uuid}\nState: ${peer.stateText} (${connection(peer)})\n${names}`;
}

function peerElement(peer: PeerData): Element {
  return element('peer', [
    element('uuid', peer.uuid),
    element('hostname', peer.hostname),
    element(
      'hostnames',
      peer.hostnames.map((name) => element('hostname', name)),
      'hostname',
    ),
    element('connected', peer.connected ? 1 : 0),
    element('state', peer.state),
    element('stateStr', peer.stateText),
  ]);
}

export const list: Handler = async (session, words) => {
  if (words.length !== 2) throw new UsageError();
  const reply = await session.request(words, { verb: 'pool.list' });
  if (!reply.ok) return fail(session, 'pool list: failed: ', reply.error);
  const { peers, self } = reply.data;
  if (session.flags.xml) {
    const own = element('peer', [element('uuid', self), element('hostname', 'localhost'), element('connected', 1)]);
    return succeedXml(session, [element('peerStatus', [...peers.map(peerElement), own])]);
  }
  const width = Math.max('localhost'.length, ...peers.map((peer) => peer.hostname.length));
  line(session.io, `UUID\t\t\t\t\t${'Hostname'.padEnd(width)}\tState`);
  const row = (uuid: string, name: string, state: string) =>
    line(session.io, `${uuid}\t${name.padEnd(width)}\t${state} `);
  for (const peer of peers) row(peer.uuid, peer.hostname, connection(peer));
  row(self, 'localhost', 'Connected');
  return 0;
};

export const log: Handler = async (session, words) => {
  if (words.length > 4) throw new UsageError();
  const host = words[3];
  const reply = await session.request(words, { verb: 'system.fsm.log', ...(host === undefined ? {} : { host }) });
  if (!reply.ok) return fail(session, 'fsm log: failed: ', reply.error);
  const { transitions } = reply.data;
  if (session.flags.xml)
    return succeedXml(session, [element('transitions', transitions.map(transitionElement), 'transition')]);
  line(session.io, `number of transitions: ${transitions.length}`);
  for (const transition of transitions) session.io.out(transitionText(transition));
  return 0;
};

function timeOf({ at }: PeerTransitionData): string {
  return new Date(at * 1000).toISOString().slice(0, 19).replace('T', ' ');
}

function transitionText(transition: PeerTransitionData): string {
  const { hostname, from, to, event } = transition;
  return `\nHostname : ${hostname}\nOld State: [${from}]\nNew State: [${to}]\nEvent    : [${event}]\ntimestamp: [${timeOf(transition)}]\n`;
}

function transitionElement(transition: PeerTransitionData): Element {
  return element('transition', [
    element('hostname', transition.hostname),
    element('uuid', transition.uuid),
    element('oldState', transition.from),
    element('newState', transition.to),
    element('event', transition.event),
    element('timestamp', timeOf(transition)),
  ]);
}
