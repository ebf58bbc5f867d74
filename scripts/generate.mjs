// Makes what is generated and kept in the tree: `npm run generate`; with --check only says what is out of date.
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

for (const script of ['make-volume-options.mjs', 'make-translator-options.mjs', 'make-docs.mjs'])
  try {
    execFileSync(process.execPath, [join(here, script), ...process.argv.slice(2)], { stdio: 'inherit' });
  } catch {
    process.exitCode = 1;
  }
