/** Whether a client may use a subvolume: by user and password, else by address. */
import { timingSafeEqual } from 'node:crypto';
import { type AddressRule, directoryPath, Errno, isWithin, parseAddressRules } from '@mortar/core';
import { type Hello, isTlsNameAllowed, type PeerIdentity, type Refusal } from '@mortar/rpc';

export interface AuthSettings {
  /** Options of the volfile as text. */
  texts: ReadonlyMap<string, string>;
  strict: boolean;
  allowInsecure: boolean;
  addressesOf(host: string): Promise<readonly string[]>;
  /** Of this host: those that a client over a unix socket has. */
  ownAddresses(): readonly string[];
}

export interface Verdict {
  isTrusted: boolean;
  /** It may use this directory of the volume alone. */
  directory?: string;
}

type Asked = Pick<Hello, 'user' | 'password' | 'subdirectory'>;

const privilegedBelow = 1024;

export function listOf(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function refuse(reason: string): Refusal {
  return { errno: Errno.EACCES, reason };
}

export async function admit(
  subvolume: string,
  peer: PeerIdentity,
  hello: Asked,
  settings: AuthSettings,
): Promise<Verdict | Refusal> {
  if (!settings.allowInsecure && peer.kind === 'tcp' && peer.port >= privilegedBelow)
    return refuse(`port ${peer.port} is not privileged, and rpc-auth-allow-insecure is off`);
  const tlsRefusal = byTlsName(subvolume, peer, settings.texts);
  if (tlsRefusal !== null) return tlsRefusal;
  const login = byLogin(subvolume, hello, settings.texts);
  if (login !== null) return login;
  if (settings.strict) return refuse(`${subvolume} is for clients with user and password only`);
  return byAddress(subvolume, peer, hello, settings);
}

/**
 * Who comes over the unix socket is root on this host, and could read the brick itself. Null: it may go on to the other checks,
 * which it must pass as well.
 */
function byTlsName(subvolume: string, peer: PeerIdentity, texts: ReadonlyMap<string, string>): Refusal | null {
  const list = texts.get(`auth.login.${subvolume}.ssl-allow`);
  if (list === undefined || peer.kind !== 'tcp' || isTlsNameAllowed(list, peer.tlsName)) return null;
  if (peer.tlsName === undefined)
    return refuse('auth.ssl-allow names who may come, and this connection has no TLS: set client.ssl and server.ssl');
  return refuse(`'${peer.tlsName}', the name of its certificate, is not in auth.ssl-allow`);
}

/** Null: no opinion. Who names a user but gives no password does not ask to come in by it. */
function byLogin(
  subvolume: string,
  { user, password }: Asked,
  texts: ReadonlyMap<string, string>,
): Verdict | Refusal | null {
  if (user === '' || password === '') return null;
  if (!listOf(texts.get(`auth.login.${subvolume}.allow`)).includes(user)) return null;
  const expected = texts.get(`auth.login.${user}.password`);
  if (expected !== undefined && sameText(expected, password)) return { isTrusted: true };
  return refuse(`wrong password of user ${user}`);
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

async function byAddress(
  subvolume: string,
  peer: PeerIdentity,
  { subdirectory }: Asked,
  settings: AuthSettings,
): Promise<Verdict | Refusal> {
  const allow = settings.texts.get(`auth.addr.${subvolume}.allow`) ?? settings.texts.get('auth.addr.*.allow');
  const reject = settings.texts.get(`auth.addr.${subvolume}.reject`) ?? settings.texts.get('auth.addr.*.reject');
  if (await matchesAny(listOf(reject), peer, settings)) return refuse(`${addressOf(peer)} is rejected by auth.reject`);
  if (allow !== undefined) return byRules(subvolume, peer, subdirectory, parseAddressRules(allow) ?? [], settings);
  // With neither list nothing says that anybody may come in.
  if (reject === undefined) return refuse(`no option auth.addr.${subvolume}.allow says who may connect`);
  return { isTrusted: false };
}

/** Who may use a directory may use one below it; who may use the whole volume may use any, and is not kept in it. */
async function byRules(
  subvolume: string,
  peer: PeerIdentity,
  subdirectory: string,
  rules: readonly AddressRule[],
  settings: AuthSettings,
): Promise<Verdict | Refusal> {
  const asked = directoryPath(subdirectory);
  if (asked === null) return refuse(`'${subdirectory}' is no path of a directory`);
  let isConfined = false;
  for (const { directory, addresses } of rules) {
    if (!isWithin(asked, directory) || !(await matchesAny(addresses, peer, settings))) continue;
    if (directory === '/') return { isTrusted: false };
    isConfined = true;
  }
  if (isConfined) return { isTrusted: false, directory: asked };
  const what = rules.some(({ directory }) => directory !== '/') ? ` for ${asked}` : '';
  return refuse(`${addressOf(peer)} is not in auth.addr.${subvolume}.allow${what}`);
}

/** Clients over a unix socket are on this host: over TCP they would come from any of its addresses. */
function addressesOfPeer(peer: PeerIdentity, settings: AuthSettings): readonly string[] {
  return peer.kind === 'tcp' ? [peer.address] : [...new Set(['127.0.0.1', ...settings.ownAddresses()])];
}

function addressOf(peer: PeerIdentity): string {
  return peer.kind === 'tcp' ? peer.address : 'this host';
}

async function matchesAny(items: readonly string[], peer: PeerIdentity, settings: AuthSettings): Promise<boolean> {
  const addresses = addressesOfPeer(peer, settings);
  for (const item of items) {
    const isNegated = item.startsWith('!');
    const pattern = isNegated ? item.slice(1) : item;
    const found = await Promise.all(addresses.map((address) => matches(pattern, address, settings)));
    if (found.includes(true) !== isNegated) return true;
  }
  return false;
}

async function matches(pattern: string, address: string, settings: AuthSettings): Promise<boolean> {
  if (pattern === address || pattern === '*') return true;
  if (pattern.includes('/')) return inNetwork(pattern, address);
  if (/[*?]/.test(pattern)) return globOf(pattern).test(address);
  if (/^[\d.]+$|:/.test(pattern)) return false;
  if (pattern === 'localhost' && (address === '::1' || address.startsWith('127.'))) return true;
  return (await settings.addressesOf(pattern)).includes(address);
}

/** Addresses are short and hold no backslashes; `*` and `?` are all there is. */
function globOf(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${source}$`);
}

function inNetwork(network: string, address: string): boolean {
  const [base, bitsText] = network.split('/') as [string, string];
  const bits = Number(bitsText);
  if (!isIPv4(base) || !isIPv4(address) || !(Number.isInteger(bits) && bits >= 0 && bits <= 32)) return false;
  const mask = bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
  return (numberOf(base) & mask) >>> 0 === (numberOf(address) & mask) >>> 0;
}

function isIPv4(text: string): boolean {
  return /^\d{1,3}(?:\.\d{1,3}){3}$/.test(text) && text.split('.').every((part) => Number(part) <= 255);
}

function numberOf(ipv4: string): number {
  return ipv4.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}
