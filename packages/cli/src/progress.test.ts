import { expect, it } from 'vitest';
import { withProgress } from './progress.ts';

const terminal = () => {
  const written: string[] = [];
  let tick: (() => void) | undefined;
  const port = {
    write: (text: string) => void written.push(text),
    every: (_ms: number, callback: () => void) => {
      tick = callback;
      return () => {
        tick = undefined;
      };
    },
  };
  return { written, port, tick: () => tick?.(), isEnded: () => tick === undefined };
};

it('says what takes long, and is gone when it is done', async () => {
  const { port, written, tick, isEnded } = terminal();
  let done = (_: string) => undefined as unknown;
  const work = withProgress(port, 'volume start v', new Promise<string>((resolve) => (done = resolve)));
  tick();
  tick();
  done('yes');
  expect(await work).toBe('yes');
  expect(written).toEqual(['\r\u001b[Kvolume start v: 1 s', '\r\u001b[Kvolume start v: 2 s', '\r\u001b[K']);
  expect(isEnded()).toBe(true);
});

it('says nothing of what is quick, and leaves no timer when it fails', async () => {
  const { port, written, isEnded } = terminal();
  expect(await withProgress(port, 'x', Promise.resolve(1))).toBe(1);
  await expect(withProgress(port, 'x', Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect([written, isEnded()]).toEqual([[], true]);
});
