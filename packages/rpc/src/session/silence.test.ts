import { expect, it } from 'vitest';
import { settle } from '../test-rig.ts';
import { world } from './session-rig.ts';

async function start() {
  const made = await world();
  const session = made.server.sessionOf('client-1')!;
  const answers: boolean[] = [];
  const ask = () => void session.isAlive(3000).then((isAlive) => answers.push(isAlive));
  return { ...made, session, answers, ask };
}

it('a client that answers a ping is alive', async () => {
  const { answers, ask } = await start();
  ask();
  await settle();
  expect(answers).toEqual([true]);
});

it('a client that answers nothing is silent, and alive again when it is heard', async () => {
  const { clock, link, deliver, answers, ask } = await start();
  link.holdAll = true;
  ask();
  await clock.advance(2999);
  expect(answers).toEqual([]);
  await clock.advance(1);
  ask();
  await settle();
  expect(answers).toEqual([false, false]);
  link.holdAll = false;
  await deliver();
  ask();
  await settle();
  expect(answers).toEqual([false, false, true]);
});

it('a client that is cut off is silent if it does not come back in time', async () => {
  const { clock, link, cut, answers, ask } = await start();
  link.holdAll = true;
  await cut();
  await clock.advance(1000);
  ask();
  await clock.advance(1999);
  expect(answers).toEqual([]);
  await clock.advance(1);
  ask();
  await settle();
  expect(answers).toEqual([false, false]);
});

it('a client that comes back by another connection is alive', async () => {
  const { clock, cut, link, answers, ask } = await start();
  link.holdAll = true;
  ask();
  link.holdAll = false;
  await cut();
  await clock.advance(3000);
  expect(answers).toEqual([true]);
});
