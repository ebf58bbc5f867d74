/** The keeper's whole mind: descriptors by key, and how long they are kept without a daemon. No I/O. */
import { keptMax, protocolVersion, type Reply } from './protocol.ts';

export interface Answered {
  readonly reply: Reply;
  /** To be sent with the reply; it stays open here. */
  readonly send: number | null;
  /** To be closed. */
  readonly close: readonly number[];
}

interface Kept {
  fd: number;
  record: object;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length > 0;
const isRecord = (value: unknown): value is object => typeof value === 'object' && value !== null;

export class Keeping {
  readonly #kept = new Map<string, Kept>();
  readonly #notes: readonly string[];
  keepSeconds: number;

  /** `notes`: what a person should know about this process. */
  constructor(keepSeconds: number, notes: readonly string[]) {
    this.keepSeconds = keepSeconds;
    this.#notes = notes;
  }

  get count(): number {
    return this.#kept.size;
  }

  /** `packet` is what came, unchecked, `fds` what came with it. */
  answer(packet: string, fds: readonly number[]): Answered {
    let asked: Record<string, unknown>;
    try {
      asked = JSON.parse(packet) as Record<string, unknown>;
    } catch {
      return this.#refuse('a packet that cannot be read', fds);
    }
    if (!isRecord(asked)) return this.#refuse('a packet without a request', fds);
    switch (asked.op) {
      case 'hello':
        return this.#hello(asked, fds);
      case 'put':
        return this.#put(asked, fds);
      case 'drop':
        return this.#drop(asked, fds);
      case 'get':
        return this.#get(asked, fds);
      default:
        return this.#refuse(`there is no request '${String(asked.op)}'`, fds);
    }
  }

  #refuse(why: string, close: readonly number[]): Answered {
    return { reply: { ok: false, why }, send: null, close };
  }

  #hello({ version, keepSeconds }: Record<string, unknown>, fds: readonly number[]): Answered {
    if (version !== protocolVersion) return this.#refuse(`version ${protocolVersion} is spoken here`, fds);
    if (typeof keepSeconds === 'number' && keepSeconds > 0) this.keepSeconds = keepSeconds;
    const reply = {
      ok: true,
      version: protocolVersion,
      pid: process.pid,
      count: this.count,
      notes: this.#notes,
    } as const;
    return { reply, send: null, close: fds };
  }

  #put({ key, record }: Record<string, unknown>, fds: readonly number[]): Answered {
    if (!isText(key) || !isRecord(record) || fds.length > 1)
      return this.#refuse('put: key, record and descriptor', fds);
    const before = this.#kept.get(key);
    const [fd] = fds;
    if (fd === undefined) {
      if (!before) return this.#refuse(`there is no '${key}'`, fds);
      before.record = record;
      return { reply: { ok: true }, send: null, close: [] };
    }
    if (!before && this.count >= keptMax) return this.#refuse(`${keptMax} descriptors are kept`, fds);
    this.#kept.set(key, { fd, record });
    return { reply: { ok: true }, send: null, close: before ? [before.fd] : [] };
  }

  #drop({ key }: Record<string, unknown>, fds: readonly number[]): Answered {
    const before = isText(key) ? this.#kept.get(key) : undefined;
    if (before) this.#kept.delete(key as string);
    return { reply: { ok: true }, send: null, close: before ? [before.fd, ...fds] : fds };
  }

  #get({ index }: Record<string, unknown>, fds: readonly number[]): Answered {
    const found = typeof index === 'number' ? [...this.#kept][index] : undefined;
    if (!found) return this.#refuse('there is nothing at that place', fds);
    const [key, { fd, record }] = found;
    return { reply: { ok: true, key, record }, send: fd, close: fds };
  }
}
