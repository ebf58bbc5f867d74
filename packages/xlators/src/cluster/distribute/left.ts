/**
 * How long the rest of a rebalance takes. A file costs something for itself and something for each of its bytes; both are
 * found by least squares over the files done. What is left at those prices, at the pace of the later half of the time so far,
 * is the time left: a rebalance is slow at first, and others come and go.
 */

/** What was done by then. */
interface Mark {
  readonly atMs: number;
  readonly files: number;
  readonly bytes: number;
}

/** Marks kept; when there are twice as many every other one goes. */
const marksMax = 64;
/** Fewer files say little of the pace. */
const fewest = 64;
/** What would take so many times as long as it has taken so far is not known yet: the first files may be small, and all alike. */
const farthest = 20;

export class Left {
  #filesLeft = 0;
  #bytesLeft = 0;
  #filesDone = 0;
  #bytesDone = 0;
  #beganMs: number | undefined;
  #marks: Mark[] = [];
  /** Time between two marks, and when the next one is due. */
  #stepMs = 10;
  #nextMs = 0;
  /** Of files whose moves were timed: count, and sums of bytes, milliseconds, bytes², bytes x milliseconds. */
  #n = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;

  /** Files that are to be moved, with so many bytes together. */
  expect(bytes: number, files = 1): void {
    this.#filesLeft += files;
    this.#bytesLeft += bytes;
  }

  /** From now on files are moved. */
  begin(nowMs: number): void {
    this.#beganMs = nowMs;
    this.#marks = [{ atMs: nowMs, files: 0, bytes: 0 }];
    this.#nextMs = nowMs + this.#stepMs;
  }

  /** `ms`: how long it took, if it was moved. */
  done(nowMs: number, bytes: number, ms?: number): void {
    this.#filesLeft = Math.max(0, this.#filesLeft - 1);
    this.#bytesLeft = Math.max(0, this.#bytesLeft - bytes);
    if (ms === undefined) return;
    this.#filesDone++;
    this.#bytesDone += bytes;
    this.#n++;
    this.#x += bytes;
    this.#y += ms;
    this.#xx += bytes * bytes;
    this.#xy += bytes * ms;
    if (nowMs >= this.#nextMs) this.#mark(nowMs);
  }

  #mark(atMs: number): void {
    this.#marks.push({ atMs, files: this.#filesDone, bytes: this.#bytesDone });
    if (this.#marks.length > 2 * marksMax) {
      this.#marks = this.#marks.filter((_, i) => i % 2 === 0);
      this.#stepMs *= 2;
    }
    this.#nextMs = atMs + this.#stepMs;
  }

  /** Where the later half of the time so far began; earlier if too little was done since. */
  #since(nowMs: number): Mark {
    const halfMs = (this.#beganMs! + nowMs) / 2;
    const enough = Math.min(this.#filesDone, fewest);
    const isLong = ({ atMs, files }: Mark) => atMs <= halfMs && this.#filesDone - files >= enough;
    return this.#marks.findLast(isLong) ?? this.#marks[0]!;
  }

  /** Undefined as long as too little is done to tell. */
  ms(nowMs: number): number | undefined {
    if (this.#beganMs === undefined) return undefined;
    if (this.#filesLeft === 0) return 0;
    if (this.#filesDone === 0) return undefined;
    const { perFile, perByte } = this.#prices();
    const since = this.#since(nowMs);
    const done = perFile * (this.#filesDone - since.files) + perByte * (this.#bytesDone - since.bytes);
    if (done <= 0) return undefined;
    const ms = ((nowMs - since.atMs) * (perFile * this.#filesLeft + perByte * this.#bytesLeft)) / done;
    return ms > farthest * (nowMs - this.#beganMs) ? undefined : ms;
  }

  #prices(): { perFile: number; perByte: number } {
    const spread = this.#n * this.#xx - this.#x * this.#x;
    const slope = spread > 0 ? (this.#n * this.#xy - this.#x * this.#y) / spread : 0;
    const perByte = Math.max(0, slope);
    const perFile = (this.#y - perByte * this.#x) / this.#n;
    // Neither is negative: then the other is all there is.
    return perFile > 0 ? { perFile, perByte } : { perFile: 0, perByte: this.#x > 0 ? this.#y / this.#x : 0 };
  }
}
