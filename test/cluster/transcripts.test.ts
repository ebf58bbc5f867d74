/**
 * Four nodes go through what a cluster of GlusterFS 10.3 was recorded with, command by command; all that is printed must be
 * the same, but for the differences that test/fixtures/transcripts/differences.json lists (docs/cli-compatibility.md says why).
 * `MORTAR_TRANSCRIPTS=record` writes that list anew; a new difference has no reason yet, and the test asks for one.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Nodes, nodesImpossible } from '../support/nodes.ts';
import { essence, Replay, readSections, type Said, type Step } from '../support/replay.ts';
import { root } from '../support/sandbox.ts';

interface Difference {
  /** A row of the table in docs/cli-compatibility.md. */
  reason: string;
  command: string;
  /** Which of several of these words in the section, from 0 on. */
  nth?: number;
  /** What this command says here, without ids, times and numbers; absent if that is another each time. */
  here?: Partial<Said>;
}

const file = join(root, 'test/fixtures/transcripts/differences.json');
const isRecording = process.env.MORTAR_TRANSCRIPTS === 'record';
const differences = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Difference[]>;
const problem = nodesImpossible();
const sections = readSections();

const commandOf = (step: Step) => ('until' in step || 'do' in step ? undefined : (step.gluster ?? step.shell ?? ''));

function changed(wanted: Said, got: Said): Partial<Said> | undefined {
  const keys = (['stdout', 'stderr', 'exit'] as const).filter((key) => wanted[key] !== got[key]);
  return keys.length === 0 ? undefined : Object.fromEntries(keys.map((key) => [key, got[key]]));
}

describe.skipIf(problem !== null)(`recorded commands${problem === null ? '' : ` (${problem})`}`, () => {
  const cluster = new Nodes(4, '10.78.0.1');
  const replay = new Replay(cluster.nodes);
  const found: Record<string, Difference[]> = {};

  beforeAll(async () => {
    await cluster.start();
    await replay.prepare();
  }, 180_000);
  afterAll(async () => {
    if (isRecording) writeFileSync(file, `${JSON.stringify(found, null, 1)}\n`);
    await cluster.end();
  }, 60_000);
  afterEach(({ task }) => {
    if (task.result?.state === 'fail' && process.env.MORTAR_LOGS) console.error(cluster.logs());
  });

  describe.each(sections)('$name', ({ name, steps }) => {
    const seen = new Map<string, number>();
    const cases = steps.map((step, i) => {
      const command = commandOf(step);
      if (command === undefined) return { title: `(${i}) ${JSON.stringify(step)}`, step, command: '', nth: 0 };
      const nth = seen.get(command) ?? 0;
      seen.set(command, nth + 1);
      return { title: `(${i}) ${command}`, step, command, nth };
    });

    it.each(cases)(
      '$title',
      async ({ step, command, nth }) => {
        const said = await replay.run(step);
        if (said === undefined || 'until' in step || 'do' in step) return;
        const here = changed(essence(step, step.compare), essence(said, step.compare));
        const known = differences[name]?.find((one) => one.command === command && (one.nth ?? 0) === nth);
        if (isRecording) {
          if (here) record(found, name, { reason: known?.reason ?? '', command, nth, here }, known);
          return;
        }
        if (known === undefined) expect(essence(said, step.compare)).toEqual(essence(step, step.compare));
        else if (known.here) expect(here).toEqual(known.here);
      },
      90_000,
    );
  });
});

function record(found: Record<string, Difference[]>, name: string, now: Difference, known?: Difference): void {
  const { nth, here, ...rest } = now;
  found[name] ??= [];
  found[name].push({
    ...rest,
    ...(nth ? { nth } : {}),
    ...(here && !(known && !known.here) ? { here } : {}),
  });
}

it('gives a reason for each difference', () => {
  const page = readFileSync(join(root, 'docs/cli-compatibility.md'), 'utf8');
  const reasons = new Set([...page.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, reason]) => reason));
  const used = new Set(Object.values(differences).flatMap((list) => list.map((one) => one.reason)));
  expect([...used].filter((reason) => !reasons.has(reason))).toEqual([]);
});
