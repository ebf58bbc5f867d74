export * from './brick-service.ts';
export * from './portmap.ts';
