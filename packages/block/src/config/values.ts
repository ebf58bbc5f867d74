/** Values of configuration files: each reader gives the value, or says in words what is expected. */

export type Read<T> = (text: string) => { readonly value: T } | { readonly expected: string };

export const text: Read<string> = (value) => ({ value });

/** Of namespaces, servers, devices and clients: one word that can stand in a path or an export's name. */
export const name: Read<string> = (value) =>
  /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/.test(value)
    ? { value }
    : { expected: 'a name of letters, digits, and . _ - @' };

export const names: Read<readonly string[]> = (value) => {
  const all = value.split(/[\s,]+/).filter((one) => one !== '');
  return all.length > 0 ? { value: all } : { expected: 'one or more names' };
};

export const path: Read<string> = (value) =>
  value.startsWith('/') && !value.includes('\0') ? { value } : { expected: 'an absolute path' };

export const yesNo: Read<boolean> = (value) => {
  if (/^(yes|on|true|1)$/i.test(value)) return { value: true };
  return /^(no|off|false|0)$/i.test(value) ? { value: false } : { expected: 'yes or no' };
};

export function whole(min: number, max: number): Read<number> {
  return (value) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= min && number <= max) return { value: number };
    return { expected: `a whole number from ${min} to ${max}` };
  };
}

export function oneOf<const T extends string>(...allowed: T[]): Read<T> {
  return (value) => {
    const found = allowed.find((one) => one === value);
    return found === undefined ? { expected: `one of ${allowed.join(', ')}` } : { value: found };
  };
}

const units: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** Bytes: `4096`, `64k`, `1.5g`, `10TB`, `2GiB`; powers of 1024. */
export function size(min = 1, max = 2 ** 53 - 1): Read<number> {
  return (value) => {
    const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(value);
    const bytes = match ? Number(match[1]) * units[match[2]!.toLowerCase()]! : Number.NaN;
    if (Number.isSafeInteger(bytes) && bytes >= min && bytes <= max) return { value: bytes };
    return { expected: `a size such as 512, 64k or 10g${min > 1 ? `, at least ${min}` : ''}` };
  };
}

/** An IP address or a host's name. */
export const host: Read<string> = (value) =>
  /^[A-Za-z0-9.:_-]{1,255}$/.test(value) ? { value } : { expected: 'an address or a host name' };

/** `HOST`, `HOST:PORT` (a port of glusterd), or the path of its socket on this machine. */
export const servers: Read<readonly ({ host: string; port?: number } | { socket: string })[]> = (value) => {
  const expected = { expected: 'hosts (HOST or HOST:PORT), or the path of a socket' };
  const all = value.split(/[\s,]+/).filter((one) => one !== '');
  const found = all.map((one) => {
    if (one.startsWith('/')) return { socket: one };
    const match = /^([A-Za-z0-9._-]{1,255})(?::([0-9]{1,5}))?$/.exec(one);
    const port = Number(match?.[2] ?? 1);
    if (!match || port < 1 || port > 65535) return null;
    return match[2] === undefined ? { host: match[1]! } : { host: match[1]!, port };
  });
  const good = found.filter((one) => one !== null);
  return all.length > 0 && good.length === all.length ? { value: good } : expected;
};
