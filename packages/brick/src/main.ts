/** glusterfsd: serves a brick. */
import { runProgram } from '@mortar/host/process/entry.ts';

await runProgram('glusterfsd', () => import('./brick-service.ts'));
