/** `volume create`: words to a request. Pure but for the questions. */
import type { RequestOf } from '@mortar/glusterd/protocol/requests.ts';
import { UsageError } from '../session.ts';
import { unambiguous } from '../tree.ts';
import { checkVolumeName, parseBrick, parseBricks, wholeNumber } from './brick-words.ts';

export type CreateRequest = RequestOf<'volume.create'>;
type Ask = (question: string) => Promise<boolean>;

const optionWords = ['replica', 'transport', 'disperse', 'redundancy', 'disperse-data', 'arbiter', 'thin-arbiter'];
const mixed = 'replicated-dispersed volume is not supported';

export const replicaTwoQuestion =
  'Replica 2 volumes are prone to split-brain. Use Arbiter or Replica 3 to avoid this. See: ' +
  'http://docs.gluster.org/en/latest/Administrator-Guide/Split-brain-and-ways-to-deal-with-it/.\n' +
  'Do you still want to continue?\n';

/** What the words before the bricks said. */
interface Shape {
  type: CreateRequest['type'];
  replica: number;
  arbiter: number;
  thinArbiter: number;
  disperse: number | null;
  data: number | null;
  redundancy: number | null;
  transport: CreateRequest['transport'] | null;
}

export async function parseCreate(words: readonly string[], ask: Ask): Promise<Omit<CreateRequest, 'ignorePartition'>> {
  const volume = words[2];
  if (volume === undefined) throw new UsageError();
  checkVolumeName(volume);
  if (words.length < 4) throw new UsageError();
  const shape: Shape = {
    type: 'distribute',
    replica: 1,
    arbiter: 0,
    thinArbiter: 0,
    disperse: null,
    data: null,
    redundancy: null,
    transport: null,
  };
  const first = await parseShape(words, shape, ask);
  if (first >= words.length) throw new UsageError();
  const force = words.at(-1) === 'force';
  const end = force ? words.length - 1 : words.length;
  const bricks = parseBricks(words.slice(first, end - shape.thinArbiter));
  const thinArbiterBrick = shape.thinArbiter ? parseBrick(words[end - 1] ?? '') : undefined;
  if (shape.type === 'disperse') await settleDisperse(shape, bricks.length, ask);
  if (shape.type === 'disperse' && bricks.length % shape.disperse!)
    throw new UsageError(['number of bricks is not a multiple of disperse count']);
  return {
    verb: 'volume.create',
    volume,
    type: shape.type,
    replica: shape.replica,
    arbiter: shape.arbiter,
    thinArbiter: shape.thinArbiter,
    disperse: shape.disperse ?? 0,
    redundancy: shape.redundancy ?? 0,
    transport: shape.transport ?? 'tcp',
    bricks,
    force,
    ...(thinArbiterBrick !== undefined && { thinArbiterBrick }),
  };
}

/** Reads the options; resolves to the index of the first brick. */
async function parseShape(words: readonly string[], shape: Shape, ask: Ask): Promise<number> {
  let index = 3;
  for (let count = 0; count < 3; count++) {
    const given = words[index];
    const option = given === undefined ? undefined : unambiguous(given, optionWords);
    if (option === undefined) return index;
    if (option === 'replica') index = await parseReplica(words, index, shape, ask);
    else if (option === 'transport') index = parseTransport(words, index, shape);
    else if (option === 'arbiter' || option === 'thin-arbiter')
      throw new UsageError([`${option} option must be preceded by replica option.`]);
    else index = parseDisperse(option, words, index, shape);
  }
  return index;
}

async function parseReplica(words: readonly string[], at: number, shape: Shape, ask: Ask): Promise<number> {
  if (shape.type === 'replicate') throw new UsageError(['replica option given twice']);
  if (shape.type === 'disperse') throw new UsageError([mixed]);
  shape.type = 'replicate';
  if (at + 1 >= words.length) throw new UsageError();
  shape.replica = Number.parseInt(words[at + 1]!, 10) || 0;
  if (shape.replica < 2) throw new UsageError(['replica count should be greater than 1']);
  let next = at + 2;
  const kind = words[next];
  if (kind === 'arbiter' || kind === 'thin-arbiter') {
    const one = wholeNumber(words[next + 1]) === 1;
    next += 2;
    if (kind === 'arbiter') {
      if (!one || shape.replica > 3) throw new UsageError([arbiterRule('arbiter', 'arbiter')]);
      shape.arbiter = 1;
      shape.replica = 3;
    } else {
      if (!one || shape.replica !== 2) throw new UsageError([arbiterRule('thin-arbiter', 'thin-arbiter brick')]);
      shape.thinArbiter = 1;
    }
  }
  const risky = shape.replica === 2 && !shape.thinArbiter && words.at(-1) !== 'force';
  if (risky && !(await ask(replicaTwoQuestion))) throw new UsageError();
  return next;
}

function arbiterRule(kind: string, role: string): string {
  return (
    `For ${kind} configuration, replica count must be 2 and ${kind} count must be 1. ` +
    `The 3rd brick of the replica will be the ${role}`
  );
}

function parseTransport(words: readonly string[], at: number, shape: Shape): number {
  if (shape.transport) throw new UsageError(["'transport' option given more than one time"]);
  const given = words[at + 1]?.toLowerCase();
  if (given === 'tcp' || given === 'rdma') shape.transport = given;
  else if (given === 'tcp,rdma' || given === 'rdma,tcp') shape.transport = 'tcp,rdma';
  else throw new UsageError();
  return at + 2;
}

function parseDisperse(option: string, words: readonly string[], at: number, shape: Shape): number {
  if (shape.type === 'replicate') throw new UsageError([mixed]);
  shape.type = 'disperse';
  const given = words[at + 1];
  if (given === undefined) throw new UsageError();
  const number = wholeNumber(given);
  const known = { disperse: shape.disperse, 'disperse-data': shape.data, redundancy: shape.redundancy }[option];
  if (known !== null && known !== undefined) throw new UsageError([`${option} option given twice`]);
  if (option === 'disperse') {
    // Without a number all bricks make one set.
    shape.disperse = number ?? 0;
    if (number === undefined) return at + 1;
    if (number < 3) throw new UsageError(['disperse count must be greater than 2']);
  } else if (option === 'disperse-data') {
    if (number === undefined || number < 2 || number > 16)
      throw new UsageError(['disperse-data must be greater than 1 and less than equal to 16']);
    shape.data = number;
  } else {
    // GlusterFS reads a 0 once more and complains about that, too.
    if (number === 0) throw new UsageError(['redundancy must be greater than 0', 'redundancy option given twice']);
    if (number === undefined || number < 1) throw new UsageError(['redundancy must be greater than 0']);
    shape.redundancy = number;
  }
  return at + 2;
}

/** Finds the counts that were not given, asking where the choice is not a good one. */
async function settleDisperse(shape: Shape, count: number, ask: Ask): Promise<void> {
  const agree = async (question: string): Promise<void> => {
    if (!(await ask(question))) throw new UsageError();
  };
  await combineGiven(shape, count, agree);
  if (!shape.disperse) {
    if (count < 3) throw new UsageError(['number of bricks must be greater than 2']);
    shape.disperse = count;
  }
  const asked = shape.redundancy !== null;
  if (shape.redundancy === null) await chooseRedundancy(shape, agree);
  const { disperse, redundancy } = shape;
  if (redundancy! < 1 || redundancy! > Math.floor((disperse - 1) / 2))
    throw new UsageError([
      `redundancy must be greater than or equal to 1 and less than ${Math.floor((disperse + 1) / 2)} ` +
        `for a disperse ${disperse} volume`,
    ]);
  const data = disperse - redundancy!;
  if (data > 16) throw new UsageError(['disperse-data bricks must be less than or equal to 16']);
  if (asked && !isPowerOfTwo(data))
    await agree('This configuration is not optimal on most workloads. Do you want to use it ?');
}

async function combineGiven(shape: Shape, count: number, agree: (question: string) => Promise<void>): Promise<void> {
  const { data, disperse, redundancy } = shape;
  if (data === null) return;
  if (disperse && redundancy !== null) {
    if (disperse !== data + redundancy)
      throw new UsageError([
        `Disperse count(${disperse}) should be equal to sum of disperse-data count(${data}) and redundancy count(${redundancy})`,
      ]);
  } else if (redundancy !== null) shape.disperse = data + redundancy;
  else if (disperse) shape.redundancy = disperse - data;
  else {
    if (count - data >= data) throw new UsageError(['Please provide redundancy count along with disperse-data count']);
    await agree(
      `Redundancy for this configuration is ${count - data}. Do you want to create the volume with this value ?`,
    );
    shape.redundancy = count - data;
    shape.disperse = count;
  }
}

async function chooseRedundancy(shape: Shape, agree: (question: string) => Promise<void>): Promise<void> {
  const disperse = shape.disperse!;
  let data = disperse - 1;
  for (let tries = Math.floor(data / 2); tries > 0; tries--, data--) {
    if (!isPowerOfTwo(data)) continue;
    shape.redundancy = disperse - data;
    if (shape.redundancy > 1)
      await agree(
        `The optimal redundancy for this configuration is ${shape.redundancy}. ` +
          'Do you want to create the volume with this value ?',
      );
    return;
  }
  await agree(
    "There isn't an optimal redundancy value for this configuration. Do you want to create the volume with redundancy 1 ?",
  );
  shape.redundancy = 1;
}

function isPowerOfTwo(value: number): boolean {
  return (value & -value) === value;
}
