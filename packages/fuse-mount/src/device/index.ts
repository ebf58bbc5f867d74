export * from './device.ts';
export * from './groups.ts';
export * from './mount.ts';
