export { Daemon, type DaemonSettings } from './daemon.ts';
export { main } from './main.ts';
export * from './options/index.ts';
export { type Directories, defaultDirectories } from './paths.ts';
export * from './volgen/index.ts';
export * from './volume.ts';
