/**
 * Order among one client's own changes under a lease: those that touch the same bytes or the same name go one after
 * the other, so that every replica applies them alike; all others run at once.
 */

/** A byte range (`end` exclusive, may be Infinity) or a name. */
export type Claim = { readonly start: number; readonly end: number } | { readonly name: string };

interface Entry {
  readonly claims: readonly Claim[];
  admitted: boolean;
  admit: () => void;
}

function conflicts(a: Claim, b: Claim): boolean {
  if ('name' in a) return 'name' in b && a.name === b.name;
  return 'start' in b && a.start < b.end && b.start < a.end;
}

export class Ordering {
  /** In the order of arrival: admitted and waiting. */
  readonly #entries: Entry[] = [];

  get length(): number {
    return this.#entries.length;
  }

  /** Resolves when everything earlier that conflicts has left; call the result to leave. */
  async enter(claims: readonly Claim[]): Promise<() => void> {
    const entry: Entry = { claims, admitted: false, admit: () => {} };
    const free = !this.#entries.some((earlier) => this.#conflict(earlier, entry));
    this.#entries.push(entry);
    if (free) entry.admitted = true;
    else {
      await new Promise<void>((resolve) => {
        entry.admit = resolve;
      });
    }
    return () => this.#leave(entry);
  }

  #conflict(a: Entry, b: Entry): boolean {
    return a.claims.some((x) => b.claims.some((y) => conflicts(x, y)));
  }

  #leave(entry: Entry): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    for (const [i, waiting] of this.#entries.entries()) {
      if (waiting.admitted) continue;
      const blocked = this.#entries.slice(0, i).some((earlier) => this.#conflict(earlier, waiting));
      if (blocked) continue;
      waiting.admitted = true;
      waiting.admit();
    }
  }
}
