import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contextData, exportOf, exportsOf, infoData, optionBytes } from './client-rig.ts';
import { u32Bytes } from './codec.ts';
import { Option, OptionReply as Reply } from './constants.ts';
import { Negotiation, type NegotiationOptions, type Outcome, optionMaxBytes } from './negotiation.ts';

const client = { address: 'test', identity: null, isLocalRoot: false };

interface Seen {
  option: number;
  type: number;
  data: Buffer;
}

function rig(options: Partial<NegotiationOptions> = {}) {
  const exports = exportsOf(exportOf('vol', 8192), exportOf('other'));
  const sent: Buffer[] = [];
  const negotiation = new Negotiation({
    exports,
    client,
    tls: 'off',
    secured: false,
    send: (bytes) => sent.push(bytes),
    ...options,
  });
  const replies = (): Seen[] => {
    const found: Seen[] = [];
    for (const bytes of sent.splice(0)) {
      if (bytes.length === 18 || bytes.length === 10 || bytes.length === 134) continue;
      found.push({ option: bytes.readUInt32BE(8), type: bytes.readUInt32BE(12), data: bytes.subarray(20) });
    }
    return found;
  };
  const feed = (...bytes: Buffer[]): Outcome => negotiation.feed(Buffer.concat(bytes));
  return { negotiation, sent, replies, feed, exports };
}

const flags = u32Bytes(3);
const types = (seen: Seen[]) => seen.map((one) => one.type);

describe('Negotiation', () => {
  it('greets, lists, informs and goes', () => {
    const { feed, replies, exports } = rig();
    feed(flags, optionBytes(Option.LIST));
    const listed = replies();
    expect(types(listed)).toEqual([Reply.SERVER, Reply.SERVER, Reply.ACK]);
    expect(listed[0]!.data.subarray(4).toString()).toBe('vol');
    feed(optionBytes(Option.INFO, infoData('vol', 3, 1, 77)));
    const informed = replies();
    expect(types(informed)).toEqual([Reply.INFO, Reply.INFO, Reply.INFO, Reply.ACK]);
    expect(informed[0]!.data.toString('hex')).toBe(`0000${'0000000000002000'}0f6d`);
    expect(informed[2]!.data.toString('hex')).toBe('0003000000010000100002000000');
    expect(exports.openCount).toBe(0);
    const outcome = feed(optionBytes(Option.GO, infoData('vol')), Buffer.from('rest'));
    expect(outcome).toMatchObject({ kind: 'go', agreement: { structured: false, extended: false, allocation: false } });
    expect(outcome.kind === 'go' && outcome.rest.toString()).toBe('rest');
    expect(exports.openCount).toBe(1);
  });

  it('sends the same whatever pieces the bytes come in', () => {
    const all = Buffer.concat([
      flags,
      optionBytes(Option.STRUCTURED_REPLY),
      optionBytes(77, Buffer.from('unknown')),
      optionBytes(Option.SET_META_CONTEXT, contextData('vol', 'base:allocation')),
      optionBytes(Option.GO, infoData('vol', 3)),
    ]);
    const whole = rig();
    whole.feed(all);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
        const { negotiation, sent } = rig();
        let outcome: Outcome = { kind: 'more' };
        for (let at = 0, i = 0; at < all.length; i++) {
          const size = sizes[i % sizes.length]!;
          outcome = negotiation.feed(all.subarray(at, at + size));
          at += size;
        }
        expect(outcome).toMatchObject({ kind: 'go', agreement: { structured: true, allocation: true } });
        expect(Buffer.concat(sent)).toEqual(Buffer.concat(whole.sent));
      }),
    );
  });

  it('ends EXPORT_NAME with or without zeroes, and the connection when there is none', () => {
    for (const [clientFlags, length] of [
      [3, 10],
      [1, 134],
    ] as const) {
      const { feed, sent } = rig();
      expect(feed(u32Bytes(clientFlags), optionBytes(Option.EXPORT_NAME, Buffer.from('vol'))).kind).toBe('go');
      expect(sent.at(-1)!.length).toBe(length);
    }
    expect(rig().feed(flags, optionBytes(Option.EXPORT_NAME, Buffer.from('none'))).kind).toBe('close');
  });

  it('selects contexts for the export of the last request only', () => {
    const set = (name: string, ...queries: string[]) =>
      optionBytes(Option.SET_META_CONTEXT, contextData(name, ...queries));
    const goWith = (...options: Buffer[]) => {
      const outcome = rig().feed(
        flags,
        optionBytes(Option.STRUCTURED_REPLY),
        ...options,
        optionBytes(Option.GO, infoData('vol')),
      );
      return outcome.kind === 'go' && outcome.agreement.allocation;
    };
    expect(goWith(set('vol', 'base:allocation'))).toBe(true);
    expect(goWith(set('other', 'base:allocation'))).toBe(false);
    expect(goWith(set('vol', 'base:allocation'), set('vol', 'x:y'))).toBe(false);
    expect(goWith(set('vol', 'base:allocation'), set('nobody', 'base:allocation'))).toBe(false);
    expect(goWith(set('vol', 'base:allocation'), optionBytes(Option.SET_META_CONTEXT, Buffer.from('x')))).toBe(false);
    const { feed, replies } = rig();
    feed(flags, set('vol', 'base:allocation'));
    expect(types(replies())).toEqual([Reply.ERR_INVALID]);
    feed(optionBytes(Option.STRUCTURED_REPLY), optionBytes(Option.LIST_META_CONTEXT, contextData('vol')));
    expect(types(replies())).toEqual([Reply.ACK, Reply.META_CONTEXT, Reply.ACK]);
    feed(optionBytes(Option.LIST_META_CONTEXT, contextData('vol', 'base:')));
    expect(types(replies())).toEqual([Reply.META_CONTEXT, Reply.ACK]);
  });

  it('agrees on extended headers, which no longer allow structured replies and EXPORT_NAME', () => {
    const { feed, replies } = rig();
    feed(flags, optionBytes(Option.EXTENDED_HEADERS), optionBytes(Option.STRUCTURED_REPLY));
    expect(types(replies())).toEqual([Reply.ACK, Reply.ERR_EXT_HEADER_REQD]);
    expect(feed(optionBytes(Option.GO, infoData('vol')))).toMatchObject({ agreement: { extended: true } });
    expect(rig().feed(flags, optionBytes(11), optionBytes(1, Buffer.from('vol'))).kind).toBe('close');
  });

  it.each([
    ['data with LIST', Option.LIST, Buffer.from('x'), Reply.ERR_INVALID],
    ['data with STRUCTURED_REPLY', Option.STRUCTURED_REPLY, Buffer.from('x'), Reply.ERR_INVALID],
    ['data with EXTENDED_HEADERS', Option.EXTENDED_HEADERS, Buffer.from('x'), Reply.ERR_INVALID],
    ['GO without data', Option.GO, Buffer.alloc(0), Reply.ERR_INVALID],
    ['INFO with a name longer than its data', Option.INFO, Buffer.from('0000ffff61620000', 'hex'), Reply.ERR_INVALID],
    ['an unknown export', Option.GO, infoData('none'), Reply.ERR_UNKNOWN],
    ['an unknown option', 99, Buffer.from('abc'), Reply.ERR_UNSUP],
    ['PEEK_EXPORT', 4, Buffer.alloc(0), Reply.ERR_UNSUP],
    ['TLS where there is none', Option.STARTTLS, Buffer.alloc(0), Reply.ERR_UNSUP],
  ])('answers %s with an error and goes on', (_what, option, data, expected) => {
    const { feed, replies } = rig();
    expect(feed(flags, optionBytes(option, data)).kind).toBe('more');
    expect(types(replies())).toEqual([expected]);
    expect(feed(optionBytes(Option.GO, infoData('vol'))).kind).toBe('go');
  });

  it('ends the connection for what is no protocol', () => {
    expect(rig().feed(u32Bytes(4)).kind).toBe('close');
    expect(rig().feed(flags, Buffer.from('GET / HTTP/1.1\r\n\r\n')).kind).toBe('close');
    const huge = optionBytes(Option.GO);
    huge.writeUInt32BE(optionMaxBytes + 1, 12);
    const { feed, replies } = rig();
    expect(feed(flags, huge).kind).toBe('close');
    expect(types(replies())).toEqual([Reply.ERR_TOO_BIG]);
    expect(rig().feed(flags, optionBytes(Option.ABORT, Buffer.from('bye'))).kind).toBe('close');
  });

  it('tells and gives nothing before TLS where that is required', () => {
    const { feed, replies, exports } = rig({ tls: 'required' });
    for (const option of [3, 6, 7, 8, 9, 10, 11, 99]) {
      expect(feed(...(option === 3 ? [flags] : []), optionBytes(option, infoData('vol'))).kind).toBe('more');
      expect(types(replies())).toEqual([Reply.ERR_TLS_REQD]);
    }
    expect(rig({ tls: 'required' }).feed(flags, optionBytes(1, Buffer.from('vol'))).kind).toBe('close');
    expect(exports.openCount).toBe(0);
    expect(feed(optionBytes(Option.STARTTLS)).kind).toBe('tls');
    expect(types(replies())).toEqual([Reply.ACK]);
  });

  it('takes nothing over into TLS that was sent in clear', () => {
    const { feed, replies } = rig({ tls: 'allowed' });
    expect(feed(flags, optionBytes(Option.STARTTLS), Buffer.from([22])).kind).toBe('close');
    expect(replies()).toEqual([]);
    const secured = rig({ tls: 'required', secured: true });
    expect(secured.feed(flags, optionBytes(Option.STARTTLS)).kind).toBe('more');
    expect(types(secured.replies())).toEqual([Reply.ERR_INVALID]);
  });

  it('is not impressed by any bytes', () => {
    const option = fc
      .tuple(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 60 }))
      .map(([number, data]) => optionBytes(number, data));
    const piece = fc.oneof(option, fc.uint8Array({ maxLength: 40 }).map(Buffer.from));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const { negotiation } = rig({ tls: 'allowed' });
        negotiation.feed(flags);
        for (const bytes of pieces) if (negotiation.feed(Buffer.from(bytes)).kind !== 'more') return;
      }),
      { numRuns: 500 },
    );
  });
});
