import { Errno } from '@mortar/core';
import { describe, expect, it } from 'vitest';
import { Syncer } from './syncer.ts';

function gate() {
  const opens: ((result: Errno | 0) => void)[] = [];
  return { sync: () => new Promise<Errno | 0>((resolve) => opens.push(resolve)), opens };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('Syncer', () => {
  it('serves with one sync all who came before it began, and nobody with one that was under way', async () => {
    const { sync, opens } = gate();
    const syncer = new Syncer(sync);
    const answered: string[] = [];
    void syncer.flush().then(() => answered.push('first'));
    void syncer.flush().then(() => answered.push('second'));
    void syncer.flush().then(() => answered.push('third'));
    expect(opens.length).toBe(1);
    opens[0]!(0);
    await turn();
    expect(answered).toEqual(['first']);
    expect(opens.length).toBe(2);
    opens[1]!(0);
    await turn();
    expect(answered).toEqual(['first', 'second', 'third']);
  });

  it('never calls a later sync a success once one has failed', async () => {
    const { sync, opens } = gate();
    const syncer = new Syncer(sync);
    const first = syncer.flush();
    opens[0]!(Errno.ENOSPC);
    expect(await first).toEqual({ ok: false, errno: Errno.ENOSPC });
    expect(await syncer.flush()).toEqual({ ok: false, errno: Errno.ENOSPC });
    expect(opens.length).toBe(1);
    expect(syncer.failed).toBe(true);
  });
});
