/** Changes that are being made right now: of a file that somebody changes nothing can be promised. */
import type { Args, FopName, Gfid } from '@mortar/core';
import { isChange, type Subjects, subjectsOf, subjectsOfSteps } from '../../lib/subjects.ts';

/** One change. What it is about is found out when somebody asks: mostly nobody does. */
export class Changed {
  readonly #name: FopName;
  readonly #args: object;
  #subjects: Subjects | undefined;

  constructor(name: FopName, args: object) {
    this.#name = name;
    this.#args = args;
  }

  get subjects(): Subjects {
    this.#subjects ??=
      this.#name === 'compound'
        ? subjectsOfSteps((this.#args as Args<'compound'>).steps)
        : subjectsOf(this.#name, this.#args);
    return this.#subjects;
  }
}

export class Changing {
  readonly #now = new Set<Changed>();

  /** Undefined: it changes nothing. */
  begin(name: FopName, args: object): Changed | undefined {
    const changes =
      name === 'compound'
        ? (args as Args<'compound'>).steps.some((step) => isChange(step.fop as FopName, step.args))
        : isChange(name, args);
    if (!changes) return undefined;
    const change = new Changed(name, args);
    this.#now.add(change);
    return change;
  }

  end(change: Changed): void {
    this.#now.delete(change);
  }

  /** Whether the file is being changed, or a name that may be its. */
  has(gfid: Gfid): boolean {
    for (const { subjects } of this.#now) if (subjects.names.length > 0 || subjects.gfids.includes(gfid)) return true;
    return false;
  }
}
