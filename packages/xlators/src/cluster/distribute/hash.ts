/** The hash that places names and directories, and the munging of temporary names (docs/distribute.md; GlusterFS's). */
import { type ByteString, OptionError } from '@mortar/core';
import { compileEre } from './ere.ts';

const delta = 0x9e3779b9;

/** TEA in Davies-Meyer mode over the bytes of `name`: an unsigned 32-bit number. */
export function hash32(name: ByteString): number {
  const length = name.length;
  let h0 = 0x9464a485;
  let h1 = 0x542e1a94;
  const mix = (rounds: number, k0: number, k1: number, k2: number, k3: number) => {
    let b0 = h0;
    let b1 = h1;
    let sum = 0;
    for (let i = 0; i < rounds; i++) {
      sum = (sum + delta) | 0;
      b0 = (b0 + (((b1 << 4) + k0) ^ (b1 + sum) ^ ((b1 >>> 5) + k1))) | 0;
      b1 = (b1 + (((b0 << 4) + k2) ^ (b0 + sum) ^ ((b0 >>> 5) + k3))) | 0;
    }
    h0 = (h0 + b0) | 0;
    h1 = (h1 + b1) | 0;
  };
  let at = 0;
  for (; length - at >= 16; at += 16)
    mix(6, word(name, at), word(name, at + 4), word(name, at + 8), word(name, at + 12));
  const k = tail(name, at);
  mix(10, k[0]!, k[1]!, k[2]!, k[3]!);
  return (h0 ^ h1) >>> 0;
}

function word(name: ByteString, at: number): number {
  return (
    name.charCodeAt(at) |
    (name.charCodeAt(at + 1) << 8) |
    (name.charCodeAt(at + 2) << 16) |
    (name.charCodeAt(at + 3) << 24)
  );
}

/** The last block: whole words, a word of the 0 to 3 left-over bytes, then padding made of the length. */
function tail(name: ByteString, from: number): number[] {
  const pad = padding(name.length);
  const block = [pad, pad, pad, pad];
  let at = from;
  let i = 0;
  for (; name.length - at >= 4; at += 4) block[i++] = word(name, at);
  let last = pad;
  // `char` is signed where the format was born: a byte of 0x80 and above sets all higher bits.
  for (; at < name.length; at++) last = (last << 8) | ((name.charCodeAt(at) << 24) >> 24);
  if (i < 4) block[i] = last;
  return block;
}

/** Shifts of the full length, not of its low byte: a path may be longer than 255. */
function padding(length: number): number {
  const twice = length | (length << 8);
  return twice | (twice << 16);
}

const defaultRsyncRegex = '^\\.(.+)\\.[^.]+$';

/** Throws OptionError for what is no regular expression. */
function compile(option: string, source: string): RegExp {
  try {
    return compileEre(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OptionError(option, `option ${option} ${source}: not a valid regular expression: ${reason}`);
  }
}

/** Hashes names as they will be called in the end: rsync's `.file.Xy12` hashes like `file`. */
export class NameHasher {
  readonly #patterns: RegExp[] = [];

  /** POSIX extended regular expressions with one group; '' is unset (rsync: the default), `none` switches off. */
  constructor(extra = '', rsync = '') {
    const second = rsync === '' ? defaultRsyncRegex : rsync;
    for (const [option, source] of [
      ['extra-hash-regex', extra],
      ['rsync-hash-regex', second],
    ] as const)
      if (source !== '' && source !== 'none') this.#patterns.push(compile(option, source));
  }

  hash(name: ByteString): number {
    return hash32(this.munge(name));
  }

  /** The name that counts for placement. */
  munge(name: ByteString): ByteString {
    if (this.#patterns.length === 0) return name;
    const text = decode(name);
    for (const pattern of this.#patterns) {
      const group = pattern.exec(text)?.[1];
      if (group === undefined) continue;
      const munged = encode(group);
      if (munged.length > 0) return munged;
    }
    return name;
  }
}

/** UTF-8 with each undecodable byte as one code unit U+DC80 to U+DCFF, which no pattern matches by '.' or '[^x]'. */
function decode(name: ByteString): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all ASCII is meant
  if (/^[\x00-\x7f]*$/.test(name)) return name;
  let text = '';
  for (let at = 0; at < name.length; ) {
    const length = sequenceLength(name, at);
    if (length === 0) text += String.fromCharCode(0xdc00 + name.charCodeAt(at++));
    else {
      text += Buffer.from(name.slice(at, at + length), 'latin1').toString('utf8');
      at += length;
    }
  }
  return text;
}

/** Bytes of the well-formed UTF-8 sequence at `at`, 0 if there is none. */
function sequenceLength(name: ByteString, at: number): number {
  const first = name.charCodeAt(at);
  const length =
    first < 0x80
      ? 1
      : first >= 0xc2 && first < 0xe0
        ? 2
        : first < 0xf0 && first >= 0xe0
          ? 3
          : first < 0xf5 && first >= 0xf0
            ? 4
            : 0;
  if (length === 0 || at + length > name.length) return 0;
  const decoded = Buffer.from(name.slice(at, at + length), 'latin1').toString('utf8');
  return decoded.includes('\ufffd') && name.slice(at, at + length) !== '\xef\xbf\xbd' ? 0 : length;
}

function encode(text: string): ByteString {
  let bytes = '';
  let plain = '';
  const flush = () => {
    bytes += Buffer.from(plain, 'utf8').toString('latin1');
    plain = '';
  };
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const loneLow = unit >= 0xdc80 && unit <= 0xdcff && !isHigh(text.charCodeAt(i - 1));
    if (!loneLow) {
      plain += text[i];
      continue;
    }
    flush();
    bytes += String.fromCharCode(unit - 0xdc00);
  }
  flush();
  return bytes;
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
