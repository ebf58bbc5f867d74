/** What is known of a connection that speaks TLS. */
import type { TLSSocket } from 'node:tls';
import type { Stream } from '@mortar/rpc/stream.ts';

export interface Secured {
  /** Who is at the other end: common name of its certificate, or name of its key; null: TLS does not say. */
  readonly name: string | null;
  /** The same at both ends of this connection, and at no other: whoever stands between them has another one at each side. */
  readonly channel: string;
}

const label = 'EXPORTER-mortar-rsio-1';
const channelBytes = 32;
const known = new WeakMap<Stream, Secured>();

export function channelOf(tls: TLSSocket): string {
  return tls.exportKeyingMaterial(channelBytes, label, Buffer.alloc(0)).toString('hex');
}

export function secure(stream: Stream, secured: Secured): void {
  known.set(stream, secured);
}

/** Null: it is readable for all. */
export function securedOf(stream: Stream): Secured | null {
  return known.get(stream) ?? null;
}
