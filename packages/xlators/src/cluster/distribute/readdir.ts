/** Listing: all children at once, their names merged (docs/distribute.md, "Listing"). */
import { type Args, type Call, type Dirent, Errno, type Failure, Fd, fail, locOf, type Reply } from '@mortar/core';
import { type Distribute, isFailure } from './distribute.ts';
import { listedName } from './listed-name.ts';
import { type Ask, type Copy, type Page, pageOf, Reading } from './listing.ts';
import { isLacking } from './on-file.ts';
import type { DirectoryState } from './state.ts';

export function readdirp(d: Distribute, call: Call, args: Args<'readdirp'>): Promise<Reply<'readdirp'>> {
  return list(d, call, args, { plus: true, learns: true });
}

/** Without attributes for the caller; by default distribute asks for them, to tell linktos. */
export async function readdir(d: Distribute, call: Call, args: Args<'readdir'>): Promise<Reply<'readdir'>> {
  const reply = await list(d, call, args, { plus: d.options['use-readdirp'], learns: false });
  if (!reply.ok) return reply;
  return { ...reply, entries: reply.entries.map((entry) => ({ ...entry, iatt: null, xattrs: null })) };
}

/** `plus`: children are asked for attributes; `learns`: the caller uses what is listed, so it is remembered where that is. */
interface How {
  readonly plus: boolean;
  readonly learns: boolean;
}

async function list(
  d: Distribute,
  call: Call,
  args: Args<'readdirp'>,
  { plus, learns }: How,
): Promise<Reply<'readdirp'>> {
  const state = await d.locateFd(call, args.fd);
  if (isFailure(state)) return state;
  if (state.kind !== 'directory') return fail(Errno.ENOTDIR);
  const reading = Reading.of(d, args.fd, args.offset);
  // Names that turn out not to be there do not make an empty page.
  for (let { offset } = args; ; ) {
    const generation = learns ? d.generation : undefined;
    const page = await pageSeen(d, call, { ...args, offset }, reading, plus);
    if (isFailure(page)) return page;
    const entries = await entriesOf(d, call, args, state, page, generation);
    if (entries.length > 0 || page.end) return { ok: true, entries, end: page.end };
    offset = page.through;
  }
}

async function entriesOf(
  d: Distribute,
  call: Call,
  args: Args<'readdirp'>,
  state: DirectoryState,
  { names }: Page,
  learns: number | undefined,
): Promise<Dirent[]> {
  const entries = await Promise.all(
    [...names.values()].map((copies) => listedName(d, call, args, state, copies, learns)),
  );
  return entries.filter((entry) => entry !== undefined);
}

/** A page, and what was moved while the children were asked from one that was yet to answer to one that had. */
async function pageSeen(
  d: Distribute,
  call: Call,
  args: Args<'readdirp'>,
  reading: Reading,
  plus: boolean,
): Promise<Page | Failure> {
  const want = [...(args.want ?? []), d.names.linkto, d.names.movingMode, d.names.layout, d.names.mds];
  const { fd, xdata } = args;
  let refused: Failure | undefined;
  let answers = 0;
  let movedAgoMs = Number.POSITIVE_INFINITY;
  const ask: Ask = async (child, size, offset) => {
    const all = { fd, size, offset, ...(xdata && { xdata }) };
    const listed = () =>
      plus ? d.children[child]!.readdirp(call, { ...all, want }) : d.children[child]!.readdir(call, all);
    const reply: Reply<'readdirp'> = d.isUp(child) ? await listed() : fail(Errno.ENOTCONN);
    if (reply.ok) {
      answers++;
      movedAgoMs = Math.min(movedAgoMs, reply.xdata?.movedAgoMs ?? Number.POSITIVE_INFINITY);
      return reply;
    }
    // A child that is down, or lacks the directory, has nothing to list; but one at least must answer.
    if (!isLacking(reply) || isAmiss(d, child, reply)) return reply;
    refused = reply;
    return undefined;
  };
  const page = await pageOf(reading, args, ask);
  if (!('names' in page)) return page;
  if (answers === 0) return refused ?? fail(Errno.ENOTCONN);
  if (movedAgoMs >= d.services.clock.nowMs() - reading.beganMs) return page;
  return withMoved(d, call, args, page);
}

/** A child that is believed to be up, and cannot be asked: what it has must not seem to be gone. */
function isAmiss(d: Distribute, child: number, reply: Failure): boolean {
  return reply.errno === Errno.ENOTCONN && d.isUp(child) && !d.leaves(child);
}

const namesBytes = 65536;

/**
 * A file gets its name at its new place before it loses that at its old one. So who asks all children again, after he was
 * answered by all, sees what was moved meanwhile.
 */
async function withMoved(d: Distribute, call: Call, args: Args<'readdirp'>, page: Page): Promise<Page> {
  const through = page.end ? Number.POSITIVE_INFINITY : page.through;
  const own = d.ownCall(call);
  const again = await Promise.all(d.indices.map((child) => namesBetween(d, own, child, args, through)));
  const names = new Map(page.names);
  for (const copy of again.flat()) {
    const { name } = copy.entry;
    // What it is now is told by a lookup.
    if (!page.names.has(name) && name !== '.' && name !== '..')
      names.set(name, [{ ...copy, entry: { ...copy.entry, gfid: null } }]);
  }
  const inOrder = [...names].sort(([, a], [, b]) => a[0]!.entry.offset - b[0]!.entry.offset);
  return { ...page, names: new Map(inOrder) };
}

/** As far as the child can be asked. */
async function namesBetween(
  d: Distribute,
  own: Call,
  child: number,
  { fd: { gfid }, offset }: Args<'readdirp'>,
  through: number,
): Promise<Copy[]> {
  const found: Copy[] = [];
  const fd = new Fd(gfid);
  try {
    const loc = locOf(gfid);
    const [opened] = await d.ask([child], (one) => one.opendir(own, { loc, fd }));
    if (!opened!.ok) return found;
    for (let at = offset; at < through; ) {
      const reply = await d.children[child]!.readdir(own, { fd, size: namesBytes, offset: at });
      const last = reply.ok && reply.entries.at(-1);
      if (!reply.ok || !last) return found;
      for (const entry of reply.entries) if (entry.offset <= through) found.push({ child, entry });
      if (reply.end) return found;
      at = last.offset;
    }
    return found;
  } finally {
    fd.release();
  }
}
