export * from './backing.ts';
export * from './constants.ts';
export * from './decode.ts';
export * from './dirents.ts';
export * from './init.ts';
export * from './notify.ts';
export * from './reply.ts';
export * from './request.ts';
