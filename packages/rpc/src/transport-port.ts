import type { Address, Transport } from './stream.ts';
import type { TlsSettings } from './tls.ts';

/** What a process gives its protocol translators, under the name `transport` (`services.port('transport')`). */
export interface TransportPort {
  /** Of all kinds of addresses that the process can reach. */
  readonly transport: Transport;
  readonly hostName: string;
  readonly processId: number;
  /** Where glusterd listens on every node; 24007 if absent. */
  readonly managementPort?: number;
  /** How glusterd is spoken to; absent: in the clear. */
  readonly managementTls?: TlsSettings;
  /** Whether a host name or address means this host. */
  isLocalHost(host: string): boolean;
  /** Whether a unix socket is there. */
  socketExists(path: string): boolean;
  /** Addresses of a host name; empty if it has none. */
  addressesOf(host: string): Promise<readonly string[]>;
  /** Addresses of this host's interfaces; 127.0.0.1 if absent. */
  ownAddresses?(): readonly string[];
  /** Told by protocol/server when it listens: for the port that a brick reports to glusterd. */
  listening?(xlator: string, addresses: readonly Address[]): void;
}

export const transportPortName = 'transport';
export const defaultManagementPort = 24007;
