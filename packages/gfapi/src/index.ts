export type { CallOptions, Identity, Opened, Work } from './client.ts';
export { type ConnectOptions, connect, type Server, type TopTranslator } from './connect.ts';
export type { VolumeDir } from './directory.ts';
export type { FileHandle, Range } from './file-handle.ts';
export type { GraphDoor } from './graph-door.ts';
export type { GraphFile, ReadHow, WriteHow } from './graph-file.ts';
export type { LockOptions } from './handle-locks.ts';
export type { VolumeDirent, VolumeStatFs, VolumeStats } from './stats.ts';
export type { Volume } from './volume.ts';
