/** Paths as programs give them, and the names in them. */
import { fileURLToPath } from 'node:url';
import { type ByteString, byteString } from '@mortar/core';
import { argumentError } from './errors.ts';

export type VolumePath = string | Uint8Array | URL;

/** A path's bytes. */
export function pathBytes(path: VolumePath, name = 'path'): ByteString {
  const bytes =
    typeof path === 'string'
      ? byteString(path)
      : path instanceof Uint8Array
        ? Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString('latin1')
        : path instanceof URL
          ? byteString(fileURLToPath(path))
          : undefined;
  if (bytes === undefined) throw argumentError(name, 'a string, Uint8Array or URL', path);
  if (bytes.includes('\0')) throw argumentError(name, 'a path without null bytes', path);
  return bytes;
}

/** What a path is called in errors and in what is given back. */
export function pathText(path: VolumePath): string {
  return typeof path === 'string' ? path : path instanceof URL ? fileURLToPath(path) : Buffer.from(path).toString();
}

export type NameEncoding = 'utf8' | 'utf-8' | 'buffer' | 'latin1' | 'binary' | null | undefined;

/** A name as it is asked for. */
export function nameAs(bytes: ByteString, encoding: NameEncoding): string | Buffer {
  const buffer = Buffer.from(bytes, 'latin1');
  if (encoding === 'buffer') return buffer;
  return encoding === 'latin1' || encoding === 'binary' ? bytes : buffer.toString('utf8');
}
