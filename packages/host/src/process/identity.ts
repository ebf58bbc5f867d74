/** What `ps`, `pgrep`, `pidof` and `killall` see of this process. */
import { writeFileSync } from 'node:fs';

/**
 * Sets the kernel's short name. `process.title` would too, but wipes the argument list that scripts read in
 * /proc/PID/cmdline.
 */
export function setCommandName(name: string): void {
  writeFileSync('/proc/self/comm', name.slice(0, 15));
}

/** OOM killer's preference, -1000 (never) to 1000. */
export function setOomScoreAdjust(score: number): void {
  writeFileSync('/proc/self/oom_score_adj', `${score}`);
}
