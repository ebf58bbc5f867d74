/** Waits that end: members are asked all at once, and who does not answer in time counts as away. */
import type { Clock } from '@mortar/core/ports.ts';

/** A member that does not answer in this time counts as away. */
export const answerMs = 10_000;

/** Rejects if the answer is not there in time. */
export function inTime<T>(clock: Clock, ms: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => reject(new Error(`no answer in ${ms / 1000} s`)));
    answer.then(resolve, reject).finally(() => timer.cancel());
  });
}

/**
 * What members answered by the time that `isEnough` or all have answered or had their time; who failed or is late is missing.
 */
export function gather<T>(
  clock: Clock,
  ms: number,
  nodes: readonly string[],
  ask: (node: string) => Promise<T>,
  isEnough: (answers: ReadonlyMap<string, T>) => boolean = () => false,
): Promise<Map<string, T>> {
  return new Promise((resolve) => {
    const answers = new Map<string, T>();
    let open = nodes.length;
    let isOver = false;
    const settle = () => {
      if (isOver || (open > 0 && !isEnough(answers))) return;
      isOver = true;
      resolve(answers);
    };
    settle();
    for (const node of nodes) {
      const one = async () => {
        try {
          const answer = await inTime(clock, ms, ask(node));
          if (!isOver) answers.set(node, answer);
        } catch {
          // Away: it is missing among the answers.
        }
        open--;
        settle();
      };
      void one();
    }
  });
}
