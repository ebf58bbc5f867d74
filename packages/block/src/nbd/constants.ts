/** Numbers of the NBD protocol (doc/proto.md of the NBD project; extended headers and RESIZE: its extension branches). */

/** `NBDMAGIC`, `IHAVEOPT`. */
export const serverMagic = 0x4e42444d41474943n;
export const optionMagic = 0x49484156454f5054n;
export const optionReplyMagic = 0x3e889045565a9n;
export const requestMagic = 0x25609513;
export const extendedRequestMagic = 0x21e41c71;
export const simpleReplyMagic = 0x67446698;
export const structuredReplyMagic = 0x668e33ef;
export const extendedReplyMagic = 0x6e8a278c;

export const requestBytes = 28;
export const extendedRequestBytes = 32;
export const simpleReplyBytes = 16;
export const structuredReplyBytes = 20;
export const extendedReplyBytes = 32;
export const optionHeaderBytes = 16;

/** Handshake flags of the server; the client answers with the same bits. */
export const Handshake = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

const error = 2 ** 31;
export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: error + 1,
  ERR_POLICY: error + 2,
  ERR_INVALID: error + 3,
  ERR_PLATFORM: error + 4,
  ERR_TLS_REQD: error + 5,
  ERR_UNKNOWN: error + 6,
  ERR_SHUTDOWN: error + 7,
  ERR_BLOCK_SIZE_REQD: error + 8,
  ERR_TOO_BIG: error + 9,
  ERR_EXT_HEADER_REQD: error + 10,
} as const;

export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

export const TransmissionFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
} as const;

export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
  RESIZE: 8,
} as const;

export const CommandFlag = {
  FUA: 1 << 0,
  NO_HOLE: 1 << 1,
  DF: 1 << 2,
  REQ_ONE: 1 << 3,
  FAST_ZERO: 1 << 4,
  PAYLOAD_LEN: 1 << 5,
} as const;

export const replyFlagDone = 1;

export const Chunk = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 2 ** 15 + 1,
} as const;

/** Status bits of the context `base:allocation`. */
export const Allocation = { HOLE: 1, ZERO: 2 } as const;
export const allocationContext = 'base:allocation';
export const allocationContextId = 1;

export const nameMaxBytes = 4096;
