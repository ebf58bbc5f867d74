/**
 * A client's session: what it has open and what became of its requests, apart from the connections that come and go. A request
 * that comes again, over whatever connection, is not done again; its answer goes where it came last.
 */
import { Errno, returnBytes } from '@mortar/core';
import { type Answer, after, type Done, isHole, type ReadReply, type StatusReply } from '../../device/device.ts';
import type { Client } from '../../nbd/exports.ts';
import { type Administered, type Administration, administration } from '../administration.ts';
import { FrameFlag, FrameType, type RequestFrame } from '../frame.ts';
import { decodeMessage, encodeMessage, type OpenReply, open, tagsOfDevicesVersion } from '../messages.ts';
import { encodeExtents } from '../status.ts';
import { TagWindow } from '../tag-window.ts';
import type { OpenDevice, OpenDevices } from './open-devices.ts';

/** A connection as its session sees it. */
export interface Carrier {
  readonly isEnded: boolean;
  /** `flags`: of the reply, beside what the request says. */
  reply(frame: RequestFrame, errno: number, pieces?: readonly Uint8Array[], done?: () => void, flags?: number): void;
  end(why: string): void;
}

type Administer = (client: Client, asked: Administration) => Promise<Administered>;

const devicesMax = 1024;
const extentsMax = 1024;
const changing: ReadonlySet<number> = new Set([
  FrameType.WRITE,
  FrameType.FLUSH,
  FrameType.TRIM,
  FrameType.ZERO,
  FrameType.RESIZED,
]);

/** What came with the tags of one device. */
class Tagged {
  readonly window = new TagWindow();
  /** Over which connections a request that is being done has come. */
  readonly #carriers = new Map<number, Set<Carrier>>();

  /** It came, perhaps again. */
  came(tag: number, carrier: Carrier): void {
    const known = this.#carriers.get(tag) ?? new Set();
    for (const one of known) if (one.isEnded) known.delete(one);
    this.#carriers.set(tag, known.add(carrier));
  }

  /**
   * It was done: its answer goes to all of them. Which copy was sent last is not known: one from a connection that the client has
   * closed may come behind the one that it waits for, and such a connection tells nobody anything.
   */
  finish(tag: number, errno: Errno | 0, answer: (carrier: Carrier) => void): void {
    this.window.finish(tag, errno);
    const carriers = this.#carriers.get(tag) ?? [];
    this.#carriers.delete(tag);
    for (const carrier of carriers) answer(carrier);
  }
}

/** What a session has open. */
interface Held {
  readonly opened: OpenDevice;
  /** Null: nothing has been changed yet. */
  tagged: Tagged | null;
}

export class Session {
  readonly id: string;
  readonly client: Client;
  readonly #devices: OpenDevices;
  readonly #administer: Administer | undefined;
  readonly #open = new Map<number, Held>();
  readonly #opening = new Map<string, Promise<{ errno: number; reply?: OpenReply }>>();
  /** Of what concerns no device that is open, and, of a client that counts one row of tags for all devices, of everything. */
  readonly #own = new Tagged();
  readonly #hasOneRow: boolean;
  /** By path: its connection, and the how manieth it is. */
  readonly paths = new Map<number, { generation: number; carrier: Carrier }>();
  #nextDevice = 1;
  isEnded = false;

  /** `version`: of the protocol, as the client speaks it. */
  constructor(id: string, client: Client, devices: OpenDevices, version: number, administer?: Administer) {
    this.#administer = administer;
    this.#hasOneRow = version < tagsOfDevicesVersion;
    this.id = id;
    this.client = client;
    this.#devices = devices;
  }

  get openNames(): readonly string[] {
    return [...this.#open.values()].map(({ opened }) => opened.name);
  }

  /** False: the path has a newer connection already. The older ones end first. */
  joined(path: number, generation: number, carrier: Carrier): boolean {
    const before = this.paths.get(path);
    if (before && before.generation >= generation && !before.carrier.isEnded) return false;
    this.paths.set(path, { generation, carrier });
    before?.carrier.end('its path has a new connection');
    return true;
  }

  left(path: number, carrier: Carrier): void {
    if (this.paths.get(path)?.carrier === carrier) this.paths.delete(path);
  }

  /** `done` when the request is over; its payload serves again if it `isFree`: after a failure somebody may still have it. */
  request(carrier: Carrier, frame: RequestFrame, payload: Buffer, done: (isFree: boolean) => void): void {
    if (frame.type === FrameType.OPEN) {
      void this.#openDevice(carrier, frame, payload);
      done(true);
      return;
    }
    if (frame.type === FrameType.CLOSE) {
      this.#close(frame.device);
      done(true);
      carrier.reply(frame, 0);
      return;
    }
    if (frame.type === FrameType.ADMINISTER) {
      const asked = decodeMessage(administration, payload);
      done(true);
      if (asked) void this.#administered(carrier, frame, asked);
      else carrier.reply(frame, Errno.EINVAL);
      return;
    }
    const held = this.#open.get(frame.device);
    if (!held) {
      done(true);
      carrier.reply(frame, Errno.EBADF);
    } else if (changing.has(frame.type)) {
      held.tagged ??= this.#hasOneRow ? this.#own : new Tagged();
      this.#change(carrier, held.opened, held.tagged, frame, payload, done);
    } else {
      done(true);
      held.tagged?.window.see(frame.tag);
      this.#look(carrier, held.opened, frame);
    }
  }

  #change(
    carrier: Carrier,
    opened: OpenDevice,
    tagged: Tagged,
    frame: RequestFrame,
    payload: Buffer,
    done: (isFree: boolean) => void,
  ): void {
    const { tag } = frame;
    const { window } = tagged;
    const met = window.meet(tag);
    if (met !== 'new') {
      done(true);
      if (met === 'running') tagged.came(tag, carrier);
      else if (met === 'done') carrier.reply(frame, window.errnoOf(tag));
      return;
    }
    const refusal = opened.isRevoked ? Errno.EKEYREVOKED : opened.mode === 'read' ? Errno.EPERM : 0;
    const answer: Answer<Done> = refusal === 0 ? perform(opened, frame, payload) : { ok: false, errno: refusal };
    if (!(answer instanceof Promise)) {
      done(answer.ok);
      const errno = answer.ok ? 0 : answer.errno;
      window.finish(tag, errno);
      carrier.reply(frame, errno);
      return;
    }
    tagged.came(tag, carrier);
    opened.begin();
    void answer
      .catch((): Done => ({ ok: false, errno: Errno.EIO }))
      .then((reply) => {
        done(reply.ok);
        opened.end();
        const errno = reply.ok ? 0 : reply.errno;
        tagged.finish(tag, errno, (one) => one.reply(frame, errno));
      });
  }

  /** Once, as what changes a device; when it comes again afterwards its answer is a number only. */
  async #administered(carrier: Carrier, frame: RequestFrame, asked: Administration): Promise<void> {
    const { tag } = frame;
    const { window } = this.#own;
    const met = window.meet(tag);
    if (met === 'running') this.#own.came(tag, carrier);
    else if (met === 'done') carrier.reply(frame, window.errnoOf(tag));
    if (met !== 'new') return;
    this.#own.came(tag, carrier);
    const { errno, reply } = this.#administer
      ? await this.#administer(this.client, asked)
      : { errno: Errno.EOPNOTSUPP, reply: { text: 'this server does nothing of the kind' } };
    this.#own.finish(tag, errno as Errno, (one) => one.reply(frame, errno, [encodeMessage(reply)]));
  }

  /** Done again when it comes again: it changes nothing. */
  #look(carrier: Carrier, opened: OpenDevice, frame: RequestFrame): void {
    if (opened.isRevoked) {
      carrier.reply(frame, Errno.EKEYREVOKED);
      return;
    }
    const { type, offset, length, flags } = frame;
    if (type === FrameType.READ) {
      this.#answer(carrier, opened, frame, opened.device.read(offset, length), (reply: ReadReply & { ok: true }) => {
        const { pieces } = reply;
        if ((flags & FrameFlag.OPTION) !== 0 && pieces.length > 0 && pieces.every(isHole)) {
          carrier.reply(frame, 0, [], undefined, FrameFlag.OPTION);
          return;
        }
        carrier.reply(frame, 0, pieces, () => {
          for (const piece of pieces) returnBytes(piece);
        });
      });
    } else if (type === FrameType.STATUS) {
      const most = (flags & FrameFlag.OPTION) !== 0 ? 1 : extentsMax;
      const answer = opened.device.status(offset, length, most);
      this.#answer(carrier, opened, frame, answer, (reply: StatusReply & { ok: true }) =>
        carrier.reply(frame, 0, [encodeExtents(reply.extents)]),
      );
    } else carrier.reply(frame, Errno.EOPNOTSUPP);
  }

  #answer<R extends { ok: boolean }>(
    carrier: Carrier,
    opened: OpenDevice,
    frame: RequestFrame,
    answer: Answer<R>,
    send: (reply: R & { ok: true }) => void,
  ): void {
    const tell = (reply: R) => {
      if (reply.ok) send(reply as R & { ok: true });
      else carrier.reply(frame, (reply as unknown as { errno: Errno }).errno);
    };
    if (!(answer instanceof Promise)) {
      tell(answer);
      return;
    }
    opened.begin();
    void answer.then(tell, () => carrier.reply(frame, Errno.EIO)).finally(() => opened.end());
  }

  /** The same device again (its answer was lost) is the same number. */
  async #openDevice(carrier: Carrier, frame: RequestFrame, payload: Buffer): Promise<void> {
    const asked = decodeMessage(open, payload);
    if (!asked) return carrier.end('a request to open that cannot be read');
    const key = JSON.stringify([asked.name, asked.mode, frame.tag]);
    let opening = this.#opening.get(key);
    if (!opening) {
      opening = this.#openOnce(asked);
      this.#opening.set(key, opening);
      if (this.#opening.size > devicesMax) this.#opening.delete(this.#opening.keys().next().value!);
    }
    const { errno, reply } = await opening;
    carrier.reply(frame, errno, reply ? [encodeMessage(reply)] : []);
  }

  async #openOnce(asked: Parameters<OpenDevices['open']>[0]): Promise<{ errno: number; reply?: OpenReply }> {
    if (this.#open.size >= devicesMax) return { errno: Errno.EMFILE };
    const result = await this.#devices.open(asked, this.client);
    if (!result.ok) return { errno: result.errno };
    const { opened } = result;
    if (this.isEnded) {
      this.#devices.close(opened);
      return { errno: Errno.ESHUTDOWN };
    }
    const device = this.#nextDevice++;
    this.#open.set(device, { opened, tagged: null });
    const { sizeBytes, traits } = opened.device;
    const { readOnly, minimumBytes, preferredBytes, maximumBytes, rotational, resizable } = traits;
    const isReadOnly = readOnly || asked.mode === 'read';
    const mayResize = resizable && !isReadOnly && opened.exported.mayResize;
    const limits = { minimumBytes, preferredBytes, maximumBytes, rotational, resizable: mayResize };
    return { errno: 0, reply: { device, sizeBytes, readOnly: isReadOnly, ...limits } };
  }

  #close(device: number): void {
    const held = this.#open.get(device);
    if (!held) return;
    this.#open.delete(device);
    this.#devices.close(held.opened);
  }

  /** Nobody has come back: what it had open is free. */
  end(why: string): void {
    if (this.isEnded) return;
    this.isEnded = true;
    for (const { carrier } of [...this.paths.values()]) carrier.end(why);
    for (const device of [...this.#open.keys()]) this.#close(device);
  }
}

function perform(opened: OpenDevice, { type, flags, offset, length }: RequestFrame, payload: Buffer): Answer<Done> {
  const { device } = opened;
  const fua = (flags & FrameFlag.FUA) !== 0;
  try {
    switch (type) {
      case FrameType.WRITE:
        return device.write(offset, payload, fua);
      case FrameType.FLUSH:
        return device.flush();
      case FrameType.TRIM:
        return device.trim(offset, length, fua);
      case FrameType.ZERO:
        return device.zero(offset, length, { mayTrim: (flags & FrameFlag.OPTION) !== 0, fast: false, fua });
      default:
        return opened.exported.mayResize
          ? after(device.resize(length), (one) => one)
          : { ok: false, errno: Errno.EPERM };
    }
  } catch {
    return { ok: false, errno: Errno.EIO };
  }
}
