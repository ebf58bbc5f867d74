export * from './device/device.ts';
export * from './device/file.ts';
export { DeviceError } from './device/host-file.ts';
export * from './device/joined.ts';
export * from './device/limits.ts';
export * from './device/memory.ts';
export * from './device/pause.ts';
export * from './device/statistics.ts';
