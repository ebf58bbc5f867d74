/** performance/write-behind: answers writes before they are on the bricks (docs/write-behind.md). */
import {
  type Args,
  type Call,
  Errno,
  emptyIatt,
  type Failure,
  type Fd,
  type Fop,
  type FopName,
  type Fops,
  fail,
  fops,
  type Gfid,
  locOf,
  loseBytes,
  type OptionTable,
  type OptionValues,
  type Reply,
  returnBytes,
  type Xdata,
  Xlator,
  type XlatorInit,
  type XlatorType,
} from '@mortar/core';
import { type Subjects, subjectsOf, subjectsOfSteps } from '../../lib/subjects.ts';
import { FileWrites, type FileWritesPorts, whole } from './file-writes.ts';
import { options } from './options.ts';
import { Room, type Settings } from './room.ts';
import type { Write } from './write.ts';

type Values = OptionValues<typeof options>;

const accessMode = 0o3;
/** O_APPEND, O_DSYNC; O_SYNC has the bit of O_DSYNC. */
const waitingFlags = 0o2000 | 0o10000;
const openDirect = 0o40000;
const openTruncate = 0o1000;
const openExclusive = 0o200;

/** These tell what failed, also when nothing is under way any more. */
const heedsErrors: ReadonlySet<FopName> = new Set(['writev', 'flush', 'fsync', 'open']);

/** After these the file may be shorter. */
const changesSize: ReadonlySet<FopName> = new Set(['truncate', 'ftruncate', 'compound', 'put']);

class WriteBehind extends Xlator {
  #values: Values;
  readonly #room: Room;
  /** Files with writes under way. */
  readonly #busy = new Set<FileWrites>();
  readonly #ports: FileWritesPorts;
  /** Counts the times that a file had all its writes done. */
  #rounds = 0;
  #isSettled = false;
  readonly #counts = { ahead: 0, late: 0, sent: 0, failed: 0 };

  constructor(init: XlatorInit<typeof options>) {
    super(init);
    this.#values = init.options;
    this.#room = new Room(settingsOf(init.options));
    this.#room.isClosed = !this.#isWanted;
    this.#ports = {
      clock: this.services.clock,
      room: this.#room,
      send: (write) => this.#send(write),
      failed: (write, errno) => this.#failed(write, errno),
      busy: (file) => {
        this.services.inodes.hold(file.inode);
        this.#busy.add(file);
      },
      idle: (file) => this.#idle(file),
    };
  }

  override reconfigure(values: OptionValues<OptionTable>): void {
    this.#values = values as Values;
    this.#room.settings = settingsOf(this.#values);
    this.#room.isClosed = this.#isSettled || !this.#isWanted;
  }

  get #isWanted(): boolean {
    return this.#values['answer-ahead'] && !this.#values['pass-through'];
  }

  override settle(): Promise<void> | null {
    this.#isSettled = true;
    this.#room.isClosed = true;
    return this.#busy.size > 0 ? this.#untilIdle() : null;
  }

  override untold(fd: Fd): Errno | null {
    const file = this.#find(fd.gfid);
    return file ? this.#untold(file, fd) : null;
  }

  override async drain(): Promise<void> {
    await this.settle();
  }

  async #untilIdle(): Promise<void> {
    await Promise.all([...this.#busy].map((file) => file.all()));
  }

  protected override bindFop<N extends FopName>(name: N, next: Fops[N]): Fops[N] {
    const down = next as Fop<FopName>;
    if (changesSize.has(name)) return this.#resizing(name, down) as unknown as Fops[N];
    const own = (this.#ownFops()[name] as Fop<FopName> | undefined) ?? this.#waiting(name, down);
    if (heedsErrors.has(name)) return own as unknown as Fops[N];
    const run: Fop<FopName> = (call, args) => (this.#busy.size > 0 ? own(call, args) : down(call, args));
    return run as unknown as Fops[N];
  }

  #resizing(name: FopName, down: Fop<FopName>): Fop<FopName> {
    return (call, args) => {
      const files = subjectsIn(name, args).gfids.flatMap((gfid) => this.#find(gfid) ?? []);
      const run = () => down(call, args);
      return files.reduce<typeof run>((inner, file) => () => file.resizing(inner), run)();
    };
  }

  #waiting(name: FopName, down: Fop<FopName>): Fop<FopName> {
    return (call, args) => {
      const wait = this.#before(name, args);
      return wait ? wait.then(() => down(call, args)) : down(call, args);
    };
  }

  #ownFops(): Partial<Fops> {
    return {
      writev: (call, args) => this.#writev(call, args),
      readv: (call, args) => this.#readv(call, args),
      flush: (call, args) => this.#flush(call, args),
      fsync: (call, args) => this.#fsync(call, args),
      open: (call, args) => this.#open(call, args),
      create: (call, args) => this.#create(call, args),
      lookup: (call, args) => this.#lookup(call, args),
      readdirp: (call, args) => this.#readdirp(call, args),
    };
  }

  // --- writing ---

  async #writev(call: Call, args: Args<'writev'>): Promise<Reply<'writev'>> {
    const { fd, offset, data } = args;
    if (this.#mustWait(args)) {
      await this.#find(fd.gfid)?.all();
      return this.child.writev(call, args);
    }
    const file = this.#fileOf(fd.gfid);
    const errno = this.#untold(file, fd);
    if (errno !== null) return fail(errno);
    const answer = file.write(fd, call, offset, data);
    this.#counts[answer instanceof Promise ? 'late' : 'ahead']++;
    return answer;
  }

  /** Whether the answer must mean more than that it was taken, or cannot be given yet. */
  #mustWait({ fd, data, append, sync, xdata }: Args<'writev'>): boolean {
    if (
      this.#room.isClosed ||
      append ||
      sync ||
      asksForMore(xdata) ||
      data.length === 0 ||
      (fd.flags & waitingFlags) !== 0
    )
      return true;
    if (this.#values['strict-O_DIRECT'] && (fd.flags & openDirect) !== 0) return true;
    // The brick says what is wrong.
    return (fd.flags & accessMode) === 0;
  }

  async #send(write: Write): Promise<Reply<'writev'>> {
    const data = write.takeData();
    this.#counts.sent++;
    const reply = await this.#sendData(write, data);
    const { keeps } = this.child.xlator;
    const isFree = reply.ok && (keeps === 'nothing' || keeps === 'retained');
    (isFree ? returnBytes : loseBytes)(data);
    return reply;
  }

  async #sendData({ fd, call, offset }: Write, data: Uint8Array): Promise<Reply<'writev'>> {
    try {
      const reply = await this.child.writev(call, { fd, offset, data });
      if (!reply.ok || reply.written >= data.length || reply.written === 0) return whole(reply, data.length);
      // The rest tells why it was not taken.
      const rest = { fd, offset: offset + reply.written, data: data.subarray(reply.written) };
      return whole(await this.child.writev(call, rest), rest.data.length);
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.services.log.write('ERROR', this.name, `a write to ${fd.gfid} ended in an exception below: ${text}`);
      return fail(Errno.EIO);
    }
  }

  #failed({ fd, offset, size }: Write, errno: Errno): void {
    this.#counts.failed++;
    const what = `${size} bytes at ${offset} of ${fd.gfid} were not written after they had been taken: errno ${errno}`;
    this.services.log.write('ERROR', this.name, `${what}; who has it open is told by his next write, fsync or close`);
  }

  /** The errno of a failure that this open file has not been told yet. */
  #untold(file: FileWrites, fd: Fd): Errno | null {
    const { count, errno } = file.errors;
    if (count <= ((fd.slots[this.slot] as number | undefined) ?? 0)) return null;
    fd.slots[this.slot] = count;
    return errno;
  }

  // --- waiting ---

  /** Ends when the writes under way to the files that the fop names are done; null: there are none. */
  #before(name: FopName, args: Args<FopName>): Promise<unknown> | null {
    const subjects = subjectsIn(name, args);
    // A name that nobody told the file of may be of any. Who gives or takes names does not mind what is in the file, but where it moves.
    const isBlind = fops[name].class !== 'entry' || (name === 'rename' && !(args as Args<'rename'>).from.gfid);
    if (isBlind && subjects.names.length > 0) return this.#untilIdle();
    const waits = subjects.gfids.flatMap((gfid) => this.#find(gfid)?.all() ?? []);
    return waits.length > 0 ? Promise.all(waits) : null;
  }

  async #readv(call: Call, args: Args<'readv'>): Promise<Reply<'readv'>> {
    const { fd, offset, size } = args;
    const file = this.#find(fd.gfid);
    await file?.beforeRead(offset, offset + size);
    if (!file?.isBusy) return this.child.readv(call, args);
    const reply = await this.child.readv(call, args);
    // Nobody knows yet what those make of the file.
    return reply.ok ? { ...reply, iatt: emptyIatt() } : reply;
  }

  async #flush(call: Call, args: Args<'flush'>): Promise<Reply<'flush'>> {
    const file = this.#find(args.fd.gfid);
    if (this.#values['flush-behind'] && !this.#room.isClosed) file?.push();
    else await file?.all();
    return this.#told(file, args.fd, () => this.child.flush(call, args));
  }

  async #fsync(call: Call, args: Args<'fsync'>): Promise<Reply<'fsync'>> {
    const file = this.#find(args.fd.gfid);
    await file?.all();
    return this.#told(file, args.fd, () => this.child.fsync(call, args));
  }

  /** It is done in any case; a failure that the open file has not been told yet takes the answer's place. */
  async #told<R>(file: FileWrites | undefined, fd: Fd, run: () => Promise<R>): Promise<R | Failure> {
    const errno = file ? this.#untold(file, fd) : null;
    const reply = await run();
    return errno === null ? reply : fail(errno);
  }

  async #open(call: Call, args: Args<'open'>): Promise<Reply<'open'>> {
    const file = this.#find(args.fd.gfid);
    if (!file) return this.child.open(call, args);
    const open = () => {
      // What failed before is not this one's.
      args.fd.slots[this.slot] = file.errors.count;
      return this.child.open(call, args);
    };
    if (args.flags & openTruncate) return file.resizing(open);
    await file.all();
    return open();
  }

  /** A file that turns out to be there already may have writes under way, which must not come after it was emptied. */
  async #create(call: Call, args: Args<'create'>): Promise<Reply<'create'>> {
    if (args.flags & openExclusive) return this.child.create(call, args);
    const begun = this.#rounds;
    const reply = await this.child.create(call, { ...args, flags: args.flags & ~openTruncate });
    if (!reply.ok || reply.iatt.gfid === args.gfid) return reply;
    const { gfid } = reply.iatt;
    const file = this.#unsettled(gfid, begun);
    if (args.flags & openTruncate) {
      const emptied = await this.ops.truncate(call, { loc: locOf(gfid), size: 0 });
      return emptied.ok ? { ...reply, iatt: emptied.post } : emptied;
    }
    if (!file) return reply;
    await file.all();
    const seen = await this.child.stat(call, { loc: locOf(gfid) });
    return seen.ok ? { ...reply, iatt: seen.iatt } : seen;
  }

  async #lookup(call: Call, args: Args<'lookup'>): Promise<Reply<'lookup'>> {
    if (args.loc.gfid) await this.#find(args.loc.gfid)?.all();
    const begun = this.#rounds;
    const reply = await this.child.lookup(call, args);
    if (!reply.ok || reply.iatt.gfid === args.loc.gfid) return reply;
    const file = this.#unsettled(reply.iatt.gfid, begun);
    if (!file) return reply;
    await file.all();
    return this.child.lookup(call, args);
  }

  async #readdirp(call: Call, args: Args<'readdirp'>): Promise<Reply<'readdirp'>> {
    const begun = this.#rounds;
    const reply = await this.child.readdirp(call, args);
    if (!reply.ok) return reply;
    const isDoubtful = (gfid: Gfid | null) => gfid !== null && this.#unsettled(gfid, begun) !== undefined;
    if (!reply.entries.some(({ gfid }) => isDoubtful(gfid))) return reply;
    const entries = reply.entries.map((one) => (isDoubtful(one.gfid) ? { ...one, iatt: null, xattrs: null } : one));
    return { ...reply, entries };
  }

  /** A file with writes that a question asked in round `begun` may have missed. */
  #unsettled(gfid: Gfid, begun: number): FileWrites | undefined {
    const file = this.#find(gfid);
    return file && (file.isBusy || file.idleSince > begun) ? file : undefined;
  }

  // --- files ---

  #find(gfid: Gfid): FileWrites | undefined {
    return this.services.inodes.find(gfid)?.slots[this.slot] as FileWrites | undefined;
  }

  #fileOf(gfid: Gfid): FileWrites {
    const inode = this.services.inodes.get(gfid);
    const known = inode.slots[this.slot] as FileWrites | undefined;
    if (known) return known;
    const file = new FileWrites(this.#ports, inode);
    inode.slots[this.slot] = file;
    return file;
  }

  #idle(file: FileWrites): void {
    file.idleSince = ++this.#rounds;
    this.#busy.delete(file);
    this.services.inodes.release(file.inode);
  }

  override dump(): Record<string, string | number> {
    return {
      window_size: this.#values['cache-size'],
      files_with_writes_under_way: this.#busy.size,
      bytes_ahead: this.#room.bytes,
      writes_answered_ahead: this.#counts.ahead,
      writes_that_waited: this.#counts.late,
      requests_sent: this.#counts.sent,
      failures: this.#counts.failed,
    };
  }
}

/** Beyond what io-threads says of where to run it. */
function asksForMore(xdata: Xdata | undefined): boolean {
  return xdata !== undefined && Object.keys(xdata).some((key) => key !== 'offload');
}

function subjectsIn(name: FopName, args: Args<FopName>): Subjects {
  return name === 'compound' ? subjectsOfSteps((args as Args<'compound'>).steps, true) : subjectsOf(name, args);
}

function settingsOf(values: Values): Settings {
  return {
    windowBytes: values['cache-size'],
    aggregateBytes: values['aggregate-size'],
    trickles: values['trickling-writes'],
    isStrictlyOrdered: values['strict-write-ordering'],
  };
}

export const xlator: XlatorType<typeof options> = {
  type: 'performance/write-behind',
  description: 'Answers writes before they are on the bricks.',
  options,
  subvolumes: { min: 1, max: 1 },
  keeps: 'retained',
  create: (init) => new WriteBehind(init),
};
