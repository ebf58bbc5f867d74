/**
 * File names, link targets and xattr names are bytes, not text. A ByteString holds one byte in each character
 * (latin-1), so that it is lossless for any encoding, compares bytewise and serves as a map key.
 */
export type ByteString = string;

/** Longest name of a directory entry in bytes (POSIX NAME_MAX on Linux). */
export const nameMaxBytes = 255;
/** Longest path in bytes including the final NUL (PATH_MAX). */
export const pathMaxBytes = 4096;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The bytes that a person's text has on the wire. */
export function byteString(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** For messages and logs: UTF-8 where the bytes are, else with the odd bytes as \xNN. */
export function printable(bytes: ByteString): string {
  const buffer = Buffer.from(bytes, 'latin1');
  let text: string;
  try {
    text = utf8.decode(buffer);
  } catch {
    text = bytes.replace(/[\x80-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal
  return text.replace(/[\x00-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Whether a directory entry may have this name: 1 to 255 bytes, no '/', no NUL, not '.' nor '..'. */
export function isValidName(name: ByteString): boolean {
  return (
    name.length > 0 &&
    name.length <= nameMaxBytes &&
    name !== '.' &&
    name !== '..' &&
    !name.includes('/') &&
    !name.includes('\0')
  );
}
