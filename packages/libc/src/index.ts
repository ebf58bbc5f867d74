/**
 * The system calls that Node lacks. All are synchronous and never throw for an errno: a result is >= 0, a failure is
 * `-errno`; calls that give back an object give back a negative number instead. Paths are ByteStrings.
 */
export * from './ahead.ts';
export * from './constants.ts';
export * from './dir.ts';
export * from './file.ts';
export * from './groups.ts';
export * from './lock.ts';
export * from './map.ts';
export * from './socket.ts';
export * from './stat.ts';
export * from './system.ts';
export * from './tree.ts';
export * from './xattr.ts';
