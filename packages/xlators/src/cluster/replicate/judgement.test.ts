import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Changelog, type Matrix, newbornCount, shakenCount, type Vector } from './changelog.ts';
import { judge, readable } from './judgement.ts';

const none: Vector = [0, 0, 0];
const clean = { blames: [none, none, none], dirty: none };
const blaming = (j: number, vector: Vector) => ({
  ...clean,
  blames: clean.blames.map((v, i) => (i === j ? vector : v)),
});

describe('who is right', () => {
  it('everybody, when nobody is accused', () => {
    expect(judge([clean, clean, clean], 'data')).toMatchObject({ sources: [0, 1, 2], sinks: [], pending: false });
  });

  it('the accusers of one that was away', () => {
    const matrix = [blaming(2, [1, 0, 0]), blaming(2, [1, 0, 0]), clean];
    expect(judge(matrix, 'data')).toMatchObject({ sources: [0, 1], sinks: [2], pending: true });
    expect(judge(matrix, 'metadata')).toMatchObject({ sources: [0, 1, 2], sinks: [], pending: false });
    expect(readable(matrix, 'data')).toEqual([0, 1]);
  });

  it('nobody, when two accuse each other', () => {
    const matrix = [blaming(1, [1, 0, 0]), blaming(0, [1, 0, 0])];
    expect(judge(matrix, 'data').sources).toEqual([]);
    expect(readable(matrix, 'data')).toEqual([]);
  });

  it('perhaps one who is away, when the machine of the only one left unaccused went down in a change', () => {
    const interrupted = { ...blaming(1, [1, 0, 0]), dirty: [shakenCount + 1, 0, 0] as Vector };
    expect(judge([interrupted, clean, undefined], 'data')).toMatchObject({ sources: [0], isAlone: true });
    expect(judge([interrupted, clean, clean], 'data')).toMatchObject({ isAlone: false });
    expect(judge([blaming(1, [1, 0, 0]), clean, undefined], 'data')).toMatchObject({ isAlone: false });
    const both = { ...interrupted, blames: [none, [1, 0, 0], [1, 0, 0]] as Vector[] };
    expect(judge([both, clean, undefined], 'data')).toMatchObject({ isAlone: false });
    expect(judge([interrupted, undefined], 'data')).toMatchObject({ isAlone: false });
    // A client that crashed: what was acknowledged is there.
    const open = { ...interrupted, dirty: [1, 0, 0] as Vector };
    expect(judge([open, clean, undefined], 'data')).toMatchObject({ sources: [0], isAlone: false });
    expect(readable([interrupted, clean, undefined], 'data')).toEqual([]);
    expect(readable([open, clean, undefined], 'data')).toEqual([0]);
  });

  it('not one whose machine went down in a change, as long as another has it', () => {
    const dirty = (count: number) => ({ ...clean, dirty: [count, 0, 0] as Vector });
    const shaken = dirty(shakenCount + 1);
    expect(judge([shaken, dirty(1), undefined], 'data')).toMatchObject({ sources: [1], doubted: [0], sinks: [0] });
    expect(judge([shaken, dirty(1), dirty(2)], 'data')).toMatchObject({ sources: [1, 2], doubted: [0] });
    expect(judge([shaken, clean, undefined], 'data')).toMatchObject({ sources: [1], doubted: [0] });
    expect(judge([shaken, shaken, undefined], 'data')).toMatchObject({
      sources: [0, 1],
      inDoubt: true,
      isAlone: false,
    });
    expect(readable([shaken, dirty(1), clean], 'data')).toEqual([1]);
  });

  it('one that fewer than a quorum accuse, when all are accused and the rule is given', () => {
    const matrix = [
      blaming(1, [1, 0, 0]),
      blaming(0, [1, 0, 0]),
      { ...clean, blames: [[1, 0, 0], none, none] as Vector[] },
    ];
    expect(judge(matrix, 'data', { quorumCount: 2 }).sources).toContain(2);
    const all = [blaming(1, [1, 0, 0]), blaming(2, [1, 0, 0]), blaming(0, [1, 0, 0])];
    expect(judge(all, 'data').sources).toEqual([]);
    expect(judge(all, 'data', { quorumCount: 2 }).sources).toEqual([0, 1, 2]);
  });

  it('nobody, when all are accused and the machine of the one that few accuse went down: it may have lost what it acknowledged', () => {
    const one: Vector = [0, 0, 1];
    const first: Changelog = { blames: [none, one, one], dirty: none };
    const third: Changelog = { blames: [one, none, none], dirty: none };
    const second: Changelog = { blames: [one, none, one], dirty: [0, 0, 1] };
    expect(judge([first, second, third], 'entry', { quorumCount: 2 }).sources).toEqual([1]);
    const shaken: Changelog = { ...second, dirty: [0, 0, shakenCount] };
    expect(judge([first, shaken, third], 'entry', { quorumCount: 2 }).sources).toEqual([]);
  });

  it('nobody for names, when one that accuses itself accuses the other, which accuses it: none is to lose any', () => {
    const old: Changelog = { blames: [[1, 0, 1], [1, 0, 1], none], dirty: none };
    const matrix: Matrix = [blaming(1, [1, 0, 1]), old];
    expect(judge(matrix, 'entry').sources).toEqual([]);
    expect(judge(matrix, 'data')).toMatchObject({ sources: [0], sinks: [1] });
    const alone: Changelog = { blames: [none, [0, 0, 1], none], dirty: none };
    expect(judge([clean, alone], 'entry')).toMatchObject({ sources: [0], sinks: [1] });
  });

  it.each(['data', 'metadata', 'entry'] as const)(
    'perhaps one who is away, when one made anew accuses the other, of %s',
    (kind) => {
      const at = ['data', 'metadata', 'entry'].indexOf(kind);
      const count = (n: number) => none.map((_, i) => (i === at ? n : 0)) as unknown as Vector;
      const newborn = (blame: number): Changelog => ({
        blames: [count(newbornCount), none, count(blame)],
        dirty: none,
      });
      const rules = { quorumCount: 2 };
      expect(judge([newborn(1), undefined, clean], kind, rules)).toMatchObject({ sources: [], isAlone: true });
      expect(readable([newborn(1), undefined, clean], kind)).toEqual([]);
      // It accuses nobody: who has it is right.
      expect(judge([newborn(0), undefined, clean], kind, rules)).toMatchObject({
        sources: [2],
        sinks: [0],
        isAlone: false,
      });
      // The one that knows is there.
      const knows: Changelog = { blames: [count(1), none, count(1)], dirty: none };
      expect(judge([newborn(1), knows, clean], kind, rules)).toMatchObject({
        sources: [1],
        sinks: [0, 2],
        isAlone: false,
      });
      // All are there: what it has seen counts, what it was told does not.
      const both = [blaming(2, count(1)), blaming(1, count(1))];
      expect(judge([newborn(1), ...both], kind, rules)).toMatchObject({ sources: [1], isAlone: false });
      expect(judge([newborn(newbornCount), ...both], kind, rules).sources).toEqual([1, 2]);
    },
  );

  it('nobody who is right accuses any of the accused of names: they missed nothing', () => {
    const one: Vector = [0, 0, 1];
    const [first, last] = [blaming(2, one), blaming(0, one)];
    expect(judge([first, clean, last], 'entry', { quorumCount: 2 })).toMatchObject({ sources: [1], isHarmless: true });
    const itself: Changelog = { blames: [none, one, none], dirty: none };
    expect(judge([clean, itself], 'entry')).toMatchObject({ sources: [0], sinks: [1], isHarmless: true });
    for (const matrix of [
      [first, clean, undefined],
      // Of any name, and of these.
      [first, blaming(2, [1, 0, 0]), last],
      [first, blaming(0, one), last],
      // In the middle of a change.
      [first, { ...clean, dirty: one }, last],
      // Nobody is accused; everybody is.
      [clean, clean, clean],
      [blaming(1, one), blaming(2, one), blaming(0, one)],
    ])
      expect(judge(matrix, 'entry', { quorumCount: 2 }).isHarmless).toBe(false);
    expect(judge([blaming(2, [1, 0, 0]), clean, blaming(0, [1, 0, 0])], 'data', { quorumCount: 2 }).isHarmless).toBe(
      false,
    );
  });

  it('is not asked of a child that is away, but it can be accused', () => {
    const matrix: Matrix = [blaming(2, [0, 0, 3]), blaming(2, [0, 0, 3]), undefined];
    expect(judge(matrix, 'entry')).toMatchObject({ sources: [0, 1], sinks: [2] });
  });

  it('those without an open transaction, beside which a dirty one is not believed', () => {
    const dirty = { ...clean, dirty: [1, 0, 0] as Vector };
    expect(judge([dirty, clean, clean], 'data')).toMatchObject({
      sources: [1, 2],
      sinks: [0],
      inDoubt: false,
      pending: true,
    });
    expect(readable([dirty, clean, clean], 'data')).toEqual([1, 2]);
    expect(judge([dirty, dirty, clean], 'data')).toMatchObject({ sources: [0, 1], sinks: [2], inDoubt: true });
    expect(readable([dirty, dirty, clean], 'data')).toEqual([0, 1]);
    expect(judge([dirty, dirty, dirty], 'data')).toMatchObject({ sources: [0, 1, 2], sinks: [], inDoubt: true });
    expect(readable([dirty, dirty, undefined], 'data')).toEqual([0, 1]);
  });

  it('the dirty, where as many are settled: these may have lost their mark with what it marked', () => {
    const dirty = { ...clean, dirty: [1, 0, 0] as Vector };
    expect(judge([dirty, clean, undefined], 'data')).toMatchObject({ sources: [0], sinks: [1], inDoubt: true });
    expect(readable([dirty, clean, undefined], 'data')).toEqual([0]);
  });

  it('the accusers, whatever mark is open on the accused', () => {
    const matrix = [blaming(2, [0, 0, 1]), blaming(2, [0, 0, 1]), { ...clean, dirty: [0, 0, 1] as Vector }];
    expect(judge(matrix, 'entry')).toMatchObject({ sources: [0, 1], sinks: [2], inDoubt: false });
  });

  it('never makes a source of an accused child, nor reads from one', () => {
    const vector = fc.tuple(fc.nat(1), fc.nat(1), fc.nat(1));
    const log = fc.record({ blames: fc.tuple(vector, vector, vector), dirty: vector });
    fc.assert(
      fc.property(fc.tuple(log, log, log), (matrix) => {
        const { sources, sinks } = judge(matrix, 'data');
        for (const s of sources)
          expect(matrix.every((l, i) => i === s || l.blames[i]![0] !== 0 || l.blames[s]![0] === 0)).toBe(true);
        expect(sources.some((s) => sinks.includes(s))).toBe(false);
        for (const r of readable(matrix, 'data')) expect(matrix.every((l) => l.blames[r]![0] === 0)).toBe(true);
      }),
    );
  });
});

describe('who is right about data beside an arbiter', () => {
  const rules = { quorumCount: 2, arbiter: 2 };
  const away = undefined;
  const open = (log: Changelog, count = 1): Changelog => ({ ...log, dirty: [count, 0, 0] });
  const accusing = (...accused: number[]): Changelog => ({
    blames: [0, 1, 2].map((j): Vector => [accused.includes(j) ? 1 : 0, 0, 0]),
    dirty: none,
  });
  const isRight = (matrix: Matrix, sources: readonly number[]) => {
    expect([...judge(matrix, 'data', rules).sources].sort()).toEqual(sources);
    expect(judge(matrix, 'data', rules).isAlone).toBe(false);
  };

  it('is one with the data, whatever the arbiter has open or has not, where the other one is accused', () => {
    for (const dirt of [0, 1, shakenCount, shakenCount + 1])
      for (const others of [0, 1, shakenCount]) {
        const matrix = [open(clean), open(accusing(0), dirt), open(accusing(0), others)];
        expect(judge(matrix, 'data', rules)).toMatchObject({ sources: expect.arrayContaining([1]), isAlone: false });
        expect(readable(matrix, 'data', 2)).toContain(1);
      }
    // It refused a change that the arbiter made, having no bytes to find room for.
    isRight([open(clean), accusing(0), open(accusing(0))], [1, 2]);
    expect(readable([open(clean), accusing(0), open(accusing(0))], 'data', 2)).toEqual([1, 2]);
  });

  it('is nobody where one is away whom nobody accuses, and the other may have lost what the arbiter cannot give it', () => {
    for (const matrix of [
      [open(clean, shakenCount), away, clean],
      [open(clean, shakenCount), away, open(clean)],
      [open(clean, shakenCount), away, open(clean, shakenCount)],
      [clean, away, open(clean)],
    ]) {
      expect(judge(matrix, 'data', rules).isAlone).toBe(true);
      expect(readable(matrix, 'data', 2)).toEqual([]);
    }
    isRight([clean, away, clean], [0, 2]);
    isRight([open(clean), away, clean], [0]);
  });

  it('is the arbiter alone where it accuses all who have the data, and they cannot be told apart', () => {
    isRight([clean, away, accusing(0)], [2]);
    isRight([accusing(1), accusing(0), accusing(0, 1)], [2]);
    expect(readable([accusing(1), accusing(0), accusing(0, 1)], 'data', 2)).toEqual([2]);
  });

  it('are both, to be compared, where each is accused by the other alone: no change passed either by', () => {
    const matrix = [accusing(1), accusing(0), clean];
    isRight(matrix, [0, 1, 2]);
    expect(judge(matrix, 'data', rules).isDisputed).toBe(true);
    expect(judge(matrix, 'data', { arbiter: 2 }).sources).toEqual([2]);
  });

  it('is nobody where each is accused by the other, and the third is new: it accuses nobody of what it never saw', () => {
    const matrix = [accusing(1, 2), accusing(0, 2), clean];
    expect(judge(matrix, 'data', rules).sources).toEqual([]);
    expect(judge(matrix, 'data', { quorumCount: 2 }).sources).toEqual([]);
  });

  it('is not for the arbiter to say of anything else', () => {
    const vector = fc.tuple(fc.constantFrom(0, 1), fc.constantFrom(0, 1), fc.constantFrom(0, 1));
    const log = fc.record({ blames: fc.tuple(vector, vector, vector), dirty: vector });
    fc.assert(
      fc.property(
        fc.tuple(log, log, fc.option(log, { nil: undefined })),
        fc.constantFrom('metadata', 'entry'),
        (matrix, kind) => {
          expect(judge(matrix, kind, rules)).toEqual(judge(matrix, kind, { quorumCount: 2 }));
          expect(readable(matrix, kind, 2)).toEqual(readable(matrix, kind));
        },
      ),
    );
  });

  it('has the data, if anybody has whom nobody accuses and nobody is away', () => {
    const vector = fc.tuple(fc.constantFrom(0, 1), fc.constant(0), fc.constant(0));
    const dirty = fc.tuple(fc.constantFrom(0, 1, shakenCount), fc.constant(0), fc.constant(0));
    const log = fc.record({ blames: fc.tuple(vector, vector, vector), dirty });
    fc.assert(
      fc.property(fc.tuple(log, log, log), (matrix) => {
        const isAccused = (j: number) => matrix.some(({ blames }) => blames[j]![0] !== 0);
        const { sources, isAlone } = judge(matrix, 'data', rules);
        expect(isAlone).toBe(false);
        if (!isAccused(0) || !isAccused(1)) {
          expect(sources.some((child) => child !== 2)).toBe(true);
          expect(readable(matrix, 'data', 2).some((child) => child !== 2)).toBe(true);
        }
        for (const child of readable(matrix, 'data', 2)) expect(isAccused(child)).toBe(false);
      }),
    );
  });
});
