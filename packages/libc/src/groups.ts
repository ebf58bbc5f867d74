/** Groups of a user, as this host's databases have them (NSS: files, LDAP, ...). They may be far away: a thread of the pool asks. */
import { strict as assert } from 'node:assert';
import { type Argument, addressOf, bind, type Native } from './native.ts';

interface InPool {
  async(...args: [...Argument[], (error: Error | null, result: number) => void]): void;
}

const native = {
  getpwuid_r: bind('getpwuid_r', 'int', ['uint', 'void *', 'void *', 'size_t', 'void *']) as Native & InPool,
  getgrouplist: bind('getgrouplist', 'int', ['void *', 'uint', 'void *', 'void *']) as Native & InPool,
};

const ENOENT = 2;
const E2BIG = 7;
const ERANGE = 34;
/** `struct passwd` of 64-bit Linux: the name's address first, the primary group after the uid. */
const passwd = { bytes: 48, gid: 20 };
const stringsBytes = { least: 4096, most: 1 << 20 };
/** NGROUPS_MAX of Linux. */
const groupsMax = 65_536;

/** The groups of a user, the primary one among them; or a negative errno, -ENOENT where there is no such user. */
export async function groupsOf(uid: number): Promise<readonly number[] | number> {
  assert(Number.isInteger(uid) && uid >= 0 && uid <= 0xffffffff, `uid ${uid}`);
  const user = await account(uid);
  return typeof user === 'number' ? user : groupList(user);
}

interface Account {
  /** With its NUL. */
  readonly name: Uint8Array;
  readonly gid: number;
}

async function account(uid: number): Promise<Account | number> {
  for (let size = stringsBytes.least; size <= stringsBytes.most; size *= 4) {
    const entry = Buffer.alloc(passwd.bytes);
    const strings = Buffer.alloc(size);
    const found = Buffer.alloc(8);
    const failed = await inPool(native.getpwuid_r, [uid, entry, strings, size, found]);
    if (failed === ERANGE) continue;
    // POSIX leaves it open how "no such user" is told: as no entry, or as one of several errors.
    if (failed !== 0) return -failed;
    if (found.readBigUInt64LE() === 0n) return -ENOENT;
    const at = Number(entry.readBigUInt64LE() - addressOf(strings));
    return { name: strings.subarray(at, strings.indexOf(0, at) + 1), gid: entry.readUInt32LE(passwd.gid) };
  }
  return -ERANGE;
}

async function groupList({ name, gid }: Account): Promise<readonly number[] | number> {
  for (let count = 64; count <= groupsMax; count *= 4) {
    const groups = new Uint32Array(count);
    const bytes = new Uint8Array(groups.buffer);
    const length = new Int32Array([count]);
    const stored = await inPool(native.getgrouplist, [name, gid, bytes, new Uint8Array(length.buffer)]);
    if (stored >= 0) return [...groups.subarray(0, length[0])];
  }
  return -E2BIG;
}

function inPool(call: InPool, args: Argument[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error, result) => (error ? reject(error) : resolve(result)));
  });
}
