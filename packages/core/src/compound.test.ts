import { describe, expect, it } from 'vitest';
import type { Call } from './call.ts';
import { compoundStep, runSteps } from './compound.ts';
import { Errno } from './errno.ts';
import { locOf } from './fd.ts';
import type { Flock, Xattrs, Xdata } from './fields.ts';
import { type Args, type FopName, type Fops, fail } from './fops.ts';
import { rootGfid } from './gfid.ts';

const call: Call = { uid: 0, gid: 0, groups: [], pid: 1, lockOwner: '', clientId: 'c', time: { sec: 0, nsec: 0 } };
const loc = locOf(rootGfid);
const flock: Flock = { type: 'write', start: 0, length: 0, pid: 0, owner: '' };
const want = ['trusted.mark', 'trusted.other'];

/** A brick of which only the lock, the xattrs that a lookup finds, and what was asked matter. */
function brick(options: { fence?: number; shared?: boolean; xattrs?: Xattrs } = {}) {
  const asked: [FopName, Xdata | undefined][] = [];
  const answers: Partial<Record<FopName, object>> = {
    inodelk:
      options.fence === undefined
        ? fail(Errno.EAGAIN)
        : { ok: true, fence: options.fence, xdata: { shared: options.shared } },
    lookup: { ok: true, xattrs: options.xattrs ?? {} },
    setattr: { ok: true },
  };
  const fop = (name: FopName) => async (_: Call, args: Args<FopName>) => {
    asked.push([name, args.xdata]);
    return answers[name];
  };
  const ops = Object.fromEntries((Object.keys(answers) as FopName[]).map((name) => [name, fop(name)]));
  return { ops: ops as unknown as Fops, asked };
}

const lock = compoundStep('inodelk', { loc, domain: 'd', command: 'try', flock });
const look = (xdata: Xdata) => compoundStep('lookup', { loc, want, xdata });
const change = (xdata: Xdata) => compoundStep('setattr', { loc, attr: { mode: 0o600 }, xdata });

describe('the steps of a compound', () => {
  it('go under the fence of the lock before them, where they ask for that', async () => {
    const { ops, asked } = brick({ fence: 7 });
    await runSteps(ops, call, [lock, change({ underGrant: true, keepTimes: true }), change({ fence: 3 })]);
    expect(asked.slice(1)).toEqual([
      ['setattr', { fence: 7, keepTimes: true }],
      ['setattr', { fence: 3 }],
    ]);
  });

  it('are not done without a lock that they want to go under', async () => {
    const { ops, asked } = brick({ fence: 7 });
    const reply = await runSteps(ops, call, [change({ underGrant: true })]);
    expect(reply).toEqual({ ok: true, replies: [fail(Errno.EINVAL)] });
    expect(asked).toEqual([]);
    const refused = brick();
    expect(await runSteps(refused.ops, call, [lock, change({ underGrant: true })])).toMatchObject({
      replies: [fail(Errno.EAGAIN)],
    });
    expect(refused.asked.map(([name]) => name)).toEqual(['inodelk']);
  });

  it('end where a lookup finds marks that there should not be, and only there', async () => {
    const steps = [look({ ifQuiet: true }), change({})];
    const zero = brick({ xattrs: { 'trusted.mark': Buffer.alloc(12), 'trusted.unwanted': Buffer.from([1]) } });
    expect(await runSteps(zero.ops, call, steps)).toMatchObject({ replies: [{ ok: true }, { ok: true }] });
    const marked = brick({ xattrs: { 'trusted.other': Buffer.from([0, 0, 1]) } });
    const reply = await runSteps(marked.ops, call, steps);
    expect(reply.ok && reply.replies.length).toBe(1);
    const careless = await runSteps(marked.ops, call, [look({}), change({})]);
    expect(careless.ok && careless.replies.length).toBe(2);
    const shared = brick({ fence: 7, shared: true });
    const early = await runSteps(shared.ops, call, [lock, ...steps]);
    expect(early.ok && early.replies.length).toBe(2);
  });
});
