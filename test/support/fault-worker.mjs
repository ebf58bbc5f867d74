/**
 * Changes a directory in one way until FILE.stop is there, and writes a line for all that was acknowledged or refused: what a test
 * expects to find afterwards. While FILE.hold is there it waits, and says so.
 *
 *   node fault-worker.mjs append|rename|make|count|watch DIRECTORY FILE
 */

/**
 * Changes a directory in one way until FILE.stop is there, and writes a line for all that was acknowledged or refused: what a test
 * expects to find afterwards. While FILE.hold is there it waits, and says so.
 *
 *   node fault-worker.mjs append|rename|make|count|watch|untar|verify|bench DIRECTORY FILE
 */
import { execFileSync } from 'node:child_process';
import fs, { appendFileSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';

const [kind, directory, file] = process.argv.slice(2);
const pauseMs = 5;

function say(what) {
  appendFileSync(file, `${JSON.stringify(what)}\n`);
}

function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** The error's code, or null; and how long it took. */
function attempt(n, act) {
  const begin = performance.now();
  let error = null;
  try {
    act();
  } catch (thrown) {
    error = thrown.code ?? String(thrown);
  }
  say({ n, ms: Math.round(performance.now() - begin), ...(error === null ? {} : { error }) });
  return error === null;
}

function withFile(path, flags, act) {
  const fd = fs.openSync(path, flags, 0o644);
  try {
    return act(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Throws with what it said (diff: what differs, on its standard output) if a command of it fails. */
function shell(script) {
  try {
    execFileSync('bash', ['-euc', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw new Error(`${error.message}${String(error.stdout ?? '').slice(-2000)}`, { cause: error });
  }
}

const path = (name) => join(directory, name);
/** Of file `n` of `make`: up to 20 KB that tell where they belong. */
const contents = (n) => `${n} `.repeat(1 + ((n * 37) % 3000));

const kinds = {
  /** Every line is durable when it is acknowledged. The descriptor stays open as long as it works. */
  append() {
    let fd;
    return (n) => {
      const done = attempt(n, () => {
        fd ??= fs.openSync(path('log'), 'a', 0o644);
        fs.writeSync(fd, `${n}\n`);
        fs.fsyncSync(fd);
      });
      if (done) return;
      try {
        fs.closeSync(fd);
      } catch {}
      fd = undefined;
    };
  },

  /** One file that wanders through names. After an error it has one of two. */
  rename() {
    let name = 'wanderer-0';
    withFile(path(name), 'w', (fd) => fs.writeSync(fd, 'here'));
    return (n) => {
      const next = `wanderer-${n}`;
      if (attempt(n, () => fs.renameSync(path(name), path(next))) || existsSync(path(next))) name = next;
    };
  },

  /** Files come, and most of them go again. */
  make() {
    return (n) => {
      attempt(n, () => withFile(path(`file-${n}`), 'wx', (fd) => fs.writeSync(fd, contents(n))));
      const old = n - 10;
      if (old > 0 && old % 4 !== 0) attempt(-old, () => fs.unlinkSync(path(`file-${old}`)));
    };
  },

  /** A number that grows in place. */
  count() {
    return (n) =>
      attempt(n, () =>
        withFile(path('counter'), constants.O_CREAT | constants.O_WRONLY, (fd) => {
          fs.writeSync(fd, String(n).padStart(8, '0'), 0);
          fs.fdatasyncSync(fd);
        }),
      );
  },

  /** Reads that number past all caches of the kernel. What it was before never comes back. */
  watch() {
    let seen = 0;
    return () =>
      attempt(seen, () =>
        withFile(path('counter'), constants.O_RDONLY | constants.O_DIRECT, (fd) => {
          const buffer = Buffer.alloc(8);
          fs.readSync(fd, buffer, 0, 8, 0);
          const now = Number(buffer.toString());
          if (!(now >= seen)) throw new Error(`'${buffer}' after ${seen}`);
          seen = now;
        }),
      );
  },

  /** Trees are unpacked, are as they were packed, and go. */
  untar() {
    const tree = `${file}.tree`;
    shell(`mkdir -p ${tree}/d{0..3}
      for i in {0..23}; do head -c $((i * 397)) /dev/urandom > ${tree}/d$((i % 4))/f$i; done
      ln -s f0 ${tree}/d0/link; ln ${tree}/d1/f1 ${tree}/d2/again; tar cf ${tree}.tar -C ${tree} .`);
    return (n) => {
      const at = path(`tree-${n}`);
      attempt(n, () => shell(`mkdir ${at}; tar xf ${tree}.tar -C ${at}; diff -r ${tree} ${at}; rm -r ${at}`));
    };
  },

  /** fio writes and reads what it wrote, every other time past the caches of the kernel. */
  verify() {
    const job =
      'fio --name=verify --nrfiles=4 --filesize=256k --bs=16k --rw=randwrite --ioengine=psync --fallocate=none ' +
      '--verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --fsync=8 --thinktime=2000 --minimal';
    return (n) => {
      const at = path(`fio-${n}`);
      attempt(n, () => shell(`mkdir ${at}; ${job} --direct=${n % 2} --directory=${at}; rm -r ${at}`));
    };
  },

  /** dbench tells what it was refused, and what it did not find. */
  bench() {
    return (n) => {
      const at = path(`bench-${n}`);
      attempt(n, () => shell(`mkdir ${at}; dbench -t 2 -D ${at} 2; rm -r ${at}`));
    };
  },
};

const step = kinds[kind]();
say({ begun: kind });
for (let n = 1; !existsSync(`${file}.stop`); n++) {
  if (existsSync(`${file}.hold`)) {
    say({ held: n });
    while (existsSync(`${file}.hold`) && !existsSync(`${file}.stop`)) sleep(20);
    // What it does next may take long: that it was held before says nothing any more.
    say({ released: n });
  }
  step(n);
  sleep(pauseMs);
}
say({ ended: kind });
