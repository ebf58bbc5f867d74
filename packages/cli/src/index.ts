export type { Io } from './io.ts';
export { main } from './main.ts';
export type { Caller } from './session.ts';
