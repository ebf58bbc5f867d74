import { expect, it } from 'vitest';
import { LateLocks, type LockCaller } from './late-locks.ts';

function connection() {
  const callbacks: (() => void)[] = [];
  let isClosed = false;
  const caller: LockCaller = {
    onClose: (callback) => {
      if (isClosed) callback();
      else callbacks.push(callback);
    },
  };
  const close = () => {
    isClosed = true;
    for (const callback of callbacks) callback();
  };
  return { caller, close };
}

it('gives the last lock of a connection back at its end', () => {
  const given: unknown[] = [];
  const locks = new LateLocks((id, ballot) => given.push([id, ballot]));
  const { caller, close } = connection();
  locks.taken(caller, 'pool', 1);
  locks.taken(caller, 'pool', 2);
  expect(given).toEqual([]);
  close();
  expect(given).toEqual([['pool', 2]]);
});

it('gives back each that is answered after the end', () => {
  const given: unknown[] = [];
  const locks = new LateLocks((_id, ballot) => given.push(ballot));
  const { caller, close } = connection();
  locks.taken(caller, 'pool', 1);
  close();
  locks.taken(caller, 'pool', 2);
  locks.taken(caller, 'pool', 3);
  expect(given).toEqual([1, 2, 3]);
});
