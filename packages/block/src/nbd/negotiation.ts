/**
 * The handshake of fixed newstyle NBD as a state machine: bytes go in, answers and at last an outcome come out. No I/O, no
 * time: the connection bounds how long it may take.
 */
import {
  exportNameReply,
  greeting,
  isOptionMagic,
  optionReply,
  readContextRequest,
  readInfoRequest,
  u16Bytes,
  u32Bytes,
  u64Bytes,
} from './codec.ts';
import {
  allocationContext,
  allocationContextId,
  Handshake,
  Info,
  nameMaxBytes,
  Option,
  optionHeaderBytes,
  OptionReply as Reply,
} from './constants.ts';
import { type Client, type ExportInfo, type ExportSource, type OpenExport, transmissionFlags } from './exports.ts';

/** What both sides agreed on. */
export interface Agreement {
  readonly opened: OpenExport;
  /** Reads are answered in chunks. */
  readonly structured: boolean;
  readonly extended: boolean;
  /** `base:allocation` was selected for this export. */
  readonly allocation: boolean;
}

export type Outcome =
  | { readonly kind: 'more' }
  /** What was fed behind it belongs to the transmission. */
  | { readonly kind: 'go'; readonly agreement: Agreement; readonly rest: Buffer }
  | { readonly kind: 'tls' }
  /** Answers are sent, then the connection ends. */
  | { readonly kind: 'close'; readonly why: string };

export interface NegotiationOptions {
  readonly exports: ExportSource;
  readonly client: Client;
  /** `required`: nothing is told nor given before TLS. */
  readonly tls: 'off' | 'allowed' | 'required';
  /** TLS is on. */
  readonly secured: boolean;
  readonly send: (bytes: Buffer) => void;
}

/** The longest option; names have up to 4096 bytes, queries for contexts may be several. */
export const optionMaxBytes = 64 * 1024;
/** The name and number of options that one connection may send: a client needs five. */
const optionsMax = 10_000;
const more: Outcome = { kind: 'more' };
const handshakeFlags = Handshake.FIXED_NEWSTYLE | Handshake.NO_ZEROES;

export class Negotiation {
  readonly #options: NegotiationOptions;
  #bytes: Buffer = Buffer.alloc(0);
  #clientFlags: number | null;
  #structured = false;
  #extended = false;
  /** Export that `base:allocation` was selected for. */
  #allocationOf: string | null = null;
  #count = 0;

  /** `clientFlags`: of before TLS; the greeting is not repeated there. */
  constructor(options: NegotiationOptions, clientFlags: number | null = null) {
    this.#options = options;
    this.#clientFlags = clientFlags;
    if (clientFlags === null) options.send(greeting(handshakeFlags));
  }

  get clientFlags(): number | null {
    return this.#clientFlags;
  }

  /** Options seen so far. */
  get count(): number {
    return this.#count;
  }

  feed(chunk: Buffer): Outcome {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    for (let step = this.#step(); step !== null; step = this.#step()) if (step !== more) return step;
    return more;
  }

  /** Null: more bytes are needed; `more`: go on with what is there. */
  #step(): Outcome | null {
    const bytes = this.#bytes;
    if (this.#clientFlags === null) return bytes.length < 4 ? null : this.#takeFlags(bytes);
    if (bytes.length >= 8 && !isOptionMagic(bytes)) return close('what came is no option');
    if (bytes.length < optionHeaderBytes) return null;
    const option = bytes.readUInt32BE(8);
    const length = bytes.readUInt32BE(12);
    if (length > optionMaxBytes) {
      this.#reply(option, Reply.ERR_TOO_BIG);
      return close(`an option of ${length} bytes`);
    }
    if (bytes.length < optionHeaderBytes + length) return null;
    this.#bytes = bytes.subarray(optionHeaderBytes + length);
    if (++this.#count > optionsMax) return close(`more than ${optionsMax} options`);
    return this.#take(option, bytes.subarray(optionHeaderBytes, optionHeaderBytes + length));
  }

  #takeFlags(bytes: Buffer): Outcome {
    const flags = bytes.readUInt32BE(0);
    this.#bytes = bytes.subarray(4);
    if ((flags & ~handshakeFlags) !== 0) return close(`client flags ${flags} are not known`);
    this.#clientFlags = flags;
    return more;
  }

  #take(option: number, data: Buffer): Outcome {
    const { tls, secured } = this.#options;
    if (tls === 'required' && !secured && option !== Option.STARTTLS && option !== Option.ABORT) {
      if (option === Option.EXPORT_NAME) return close('a client without TLS asked for an export');
      return this.#reply(option, Reply.ERR_TLS_REQD);
    }
    switch (option) {
      case Option.EXPORT_NAME:
        return this.#exportName(data);
      case Option.ABORT:
        this.#reply(option, Reply.ACK);
        return close('the client is done');
      case Option.LIST:
        return this.#list(data);
      case Option.STARTTLS:
        return this.#startTls(data);
      case Option.INFO:
      case Option.GO:
        return this.#info(option, data);
      case Option.STRUCTURED_REPLY:
        return this.#structuredReply(data);
      case Option.EXTENDED_HEADERS:
        return this.#extendedHeaders(data);
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        return this.#metaContext(option, data);
      default:
        return this.#reply(option, Reply.ERR_UNSUP);
    }
  }

  #reply(option: number, type: number, ...data: Uint8Array[]): Outcome {
    this.#options.send(optionReply(option, type, ...data));
    return more;
  }

  #list(data: Buffer): Outcome {
    if (data.length > 0) return this.#reply(Option.LIST, Reply.ERR_INVALID);
    const { exports, client } = this.#options;
    for (const { name, description } of exports.list(client)) {
      const bytes = Buffer.from(name);
      this.#reply(Option.LIST, Reply.SERVER, u32Bytes(bytes.length), bytes, Buffer.from(description));
    }
    return this.#reply(Option.LIST, Reply.ACK);
  }

  #startTls(data: Buffer): Outcome {
    const { tls, secured } = this.#options;
    if (data.length > 0 || secured) return this.#reply(Option.STARTTLS, Reply.ERR_INVALID);
    if (tls === 'off') return this.#reply(Option.STARTTLS, Reply.ERR_UNSUP);
    // What was sent in clear behind it would be taken for what came over TLS.
    if (this.#bytes.length > 0) return close('a client sent on without waiting for TLS');
    this.#reply(Option.STARTTLS, Reply.ACK);
    return { kind: 'tls' };
  }

  #structuredReply(data: Buffer): Outcome {
    if (data.length > 0) return this.#reply(Option.STRUCTURED_REPLY, Reply.ERR_INVALID);
    if (this.#extended) return this.#reply(Option.STRUCTURED_REPLY, Reply.ERR_EXT_HEADER_REQD);
    this.#structured = true;
    return this.#reply(Option.STRUCTURED_REPLY, Reply.ACK);
  }

  #extendedHeaders(data: Buffer): Outcome {
    if (data.length > 0) return this.#reply(Option.EXTENDED_HEADERS, Reply.ERR_INVALID);
    this.#extended = true;
    this.#structured = true;
    return this.#reply(Option.EXTENDED_HEADERS, Reply.ACK);
  }

  #exportName(data: Buffer): Outcome {
    const name = data.toString('utf8');
    if (this.#extended) return close('EXPORT_NAME after extended headers');
    const opened = data.length <= nameMaxBytes ? this.#open(name) : null;
    if (!opened) return close(`export '${name.slice(0, 100)}' was asked for, which is not there`);
    const withZeroes = (this.#clientFlags! & Handshake.NO_ZEROES) === 0;
    const { device } = opened;
    this.#options.send(exportNameReply(device.sizeBytes, transmissionFlags(opened, this.#structured), withZeroes));
    return this.#go(name, opened);
  }

  #open(name: string): OpenExport | null {
    const { exports, client } = this.#options;
    return exports.open(name, client);
  }

  #info(option: number, data: Buffer): Outcome {
    const request = readInfoRequest(data);
    if (!request || Buffer.byteLength(request.name) > nameMaxBytes) return this.#reply(option, Reply.ERR_INVALID);
    const { exports, client } = this.#options;
    const opened = option === Option.GO ? this.#open(request.name) : null;
    const found: ExportInfo | null = opened ?? (option === Option.INFO ? exports.find(request.name, client) : null);
    if (!found) return this.#reply(option, Reply.ERR_UNKNOWN, Buffer.from('there is no such export'));
    for (const info of this.#infosOf(found, request.wanted)) this.#reply(option, Reply.INFO, info);
    this.#reply(option, Reply.ACK);
    return opened ? this.#go(request.name, opened) : more;
  }

  #infosOf(found: ExportInfo, wanted: ReadonlySet<number>): Buffer[] {
    const { device, name, description } = found;
    const flags = transmissionFlags(found, this.#structured);
    const infos = [Buffer.concat([u16Bytes(Info.EXPORT), u64Bytes(device.sizeBytes), u16Bytes(flags)])];
    if (wanted.has(Info.NAME)) infos.push(Buffer.concat([u16Bytes(Info.NAME), Buffer.from(name)]));
    if (wanted.has(Info.DESCRIPTION) && description !== '')
      infos.push(Buffer.concat([u16Bytes(Info.DESCRIPTION), Buffer.from(description)]));
    if (wanted.has(Info.BLOCK_SIZE)) {
      const { minimumBytes, preferredBytes, maximumBytes } = device.traits;
      infos.push(Buffer.concat([u16Bytes(Info.BLOCK_SIZE), u32Bytes(minimumBytes, preferredBytes, maximumBytes)]));
    }
    return infos;
  }

  #metaContext(option: number, data: Buffer): Outcome {
    const isSet = option === Option.SET_META_CONTEXT;
    // Also a failed one replaces what was selected.
    if (isSet) this.#allocationOf = null;
    const request = this.#structured ? readContextRequest(data) : null;
    if (!request) return this.#reply(option, Reply.ERR_INVALID);
    const { exports, client } = this.#options;
    if (!exports.find(request.name, client)) return this.#reply(option, Reply.ERR_UNKNOWN);
    const { queries } = request;
    const isFound = isSet
      ? queries.includes(allocationContext)
      : queries.length === 0 || queries.some((query) => query === allocationContext || query === 'base:');
    if (isFound) {
      const id = isSet ? allocationContextId : 0;
      this.#reply(option, Reply.META_CONTEXT, u32Bytes(id), Buffer.from(allocationContext));
      if (isSet) this.#allocationOf = request.name;
    }
    return this.#reply(option, Reply.ACK);
  }

  #go(name: string, opened: OpenExport): Outcome {
    const agreement: Agreement = {
      opened,
      structured: this.#structured,
      extended: this.#extended,
      allocation: this.#allocationOf === name,
    };
    return { kind: 'go', agreement, rest: this.#bytes };
  }
}

function close(why: string): Outcome {
  return { kind: 'close', why };
}
