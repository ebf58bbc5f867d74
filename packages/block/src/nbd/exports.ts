/** What an NBD server has to offer, as its connections see it. */
import type { BlockDevice } from '../device/device.ts';
import { TransmissionFlag as Flag } from './constants.ts';

/** Who is at the other end. */
export interface Client {
  /** `address:port`, or the socket's path. */
  readonly address: string;
  /** Proven by TLS: the name of the key, or the common name of the certificate. */
  readonly identity: string | null;
  /** Over a unix socket that nobody but the owner of this process can open. */
  readonly isLocalRoot: boolean;
}

export interface ExportInfo {
  /** As it is listed. */
  readonly name: string;
  readonly description: string;
  readonly device: BlockDevice;
  /** A client may change the size. */
  readonly mayResize: boolean;
  /** Its requests wait. */
  readonly isPaused?: boolean;
}

/** An export in use by a connection. */
export interface OpenExport extends ExportInfo {
  release(): void;
}

export interface ExportSource {
  /** Those that this client may use. */
  list(client: Client): readonly ExportInfo[];
  /** By name (empty: the default one); null if there is none for this client. */
  find(name: string, client: Client): ExportInfo | null;
  open(name: string, client: Client): OpenExport | null;
}

export function transmissionFlags({ device, mayResize }: ExportInfo, structured: boolean): number {
  const { readOnly, rotational, resizable } = device.traits;
  const always = Flag.HAS_FLAGS | Flag.SEND_FLUSH | Flag.SEND_FUA | Flag.SEND_CACHE | Flag.CAN_MULTI_CONN;
  const writable = Flag.SEND_TRIM | Flag.SEND_WRITE_ZEROES | Flag.SEND_FAST_ZERO;
  return (
    always |
    (readOnly ? Flag.READ_ONLY : writable) |
    (rotational ? Flag.ROTATIONAL : 0) |
    (structured ? Flag.SEND_DF : 0) |
    (mayResize && resizable && !readOnly ? Flag.SEND_RESIZE : 0)
  );
}
