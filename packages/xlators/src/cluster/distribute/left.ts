/**
 * How long the rest of a rebalance takes. A file costs something for itself and something for each of its bytes; both are
 * found by least squares over the files done. What is left at those prices, at the pace of what is done, is the time left.
 */
export class Left {
  #filesLeft = 0;
  #bytesLeft = 0;
  #filesDone = 0;
  #bytesDone = 0;
  #beganMs: number | undefined;
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
  }

  done(bytes: number, ms?: number): void {
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
  }

  /** Undefined as long as nothing is done. */
  ms(nowMs: number): number | undefined {
    if (this.#beganMs === undefined) return undefined;
    if (this.#filesLeft === 0) return 0;
    if (this.#filesDone === 0) return undefined;
    const { perFile, perByte } = this.#prices();
    const done = perFile * this.#filesDone + perByte * this.#bytesDone;
    if (done <= 0) return undefined;
    return ((nowMs - this.#beganMs) * (perFile * this.#filesLeft + perByte * this.#bytesLeft)) / done;
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
