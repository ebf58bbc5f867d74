import { logCat } from '../log-cat.ts';
import { defaultLogFile } from './arguments.ts';

process.exitCode = await logCat('rsclogcat', defaultLogFile, process.argv.slice(2));
