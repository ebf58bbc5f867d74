import { describe, expect, it } from 'vitest';
import { FrameType } from './frame.ts';
import { decodeMessage, listReply } from './messages.ts';
import { RigNetwork, rigIdentity, rigServer, rigSession } from './rsio-rig.ts';
import { ends, ports, sessionRig, sizeBytes, until } from './session-rig.ts';

describe('a session', () => {
  it('says what there is, and who it is', async () => {
    const { session } = await sessionRig();
    const reply = await session.request(FrameType.LIST, 0, 0, 0, 0, null);
    const listed = reply === 'lost' ? null : decodeMessage(listReply, reply.payload);
    expect(listed?.devices).toEqual([
      { name: 'db', description: '', sizeBytes, readOnly: false, users: 0, isPaused: false },
    ]);
    expect(session.status.map(({ name, state }) => [name, state])).toEqual([
      ['a', 'connected'],
      ['b', 'connected'],
      ['c', 'connected'],
    ]);
  });

  it.each([
    ['another key', { key: 'wrong' }],
    ['a name that is not known', { client: 'mars' }],
    ['another namespace', { namespace: 'other' }],
  ])('is refused with %s', async (_, more) => {
    const network = new RigNetwork();
    const server = await rigServer(network, ['a'], new Map(), ports);
    const session = rigSession(network, ['a'], ports, more);
    ends.push(
      () => server.close(),
      () => session.close(),
    );
    session.start();
    await until(() => session.status[0]!.why !== '');
    expect(session.isUp).toBe(false);
    expect(server.sessions).toEqual([]);
  });

  it('refuses a server that does not have the key', async () => {
    const network = new RigNetwork();
    const clients = new Map<string, string>();
    const identity = { ...rigIdentity, clients };
    const server = await rigServer(network, ['a'], new Map(), ports, { identity });
    const session = rigSession(network, ['a'], ports);
    ends.push(
      () => server.close(),
      () => session.close(),
    );
    session.start();
    await until(() => session.status[0]!.why !== '');
    expect(session.isUp).toBe(false);
  });
});
