export interface CacheSettings {
  /** Of all pages together. */
  readonly cacheBytes: number;
  /** What was validated is believed so long. */
  readonly timeoutMs: number;
  /** Smaller files are not kept, nor larger ones; 0: no limit. */
  readonly minFileBytes: number;
  readonly maxFileBytes: number;
  readonly priority: string;
  readonly passThrough: boolean;
  /** Whether what lacks is read by pages, or only what comes with an open is kept. */
  readonly reads: boolean;
  /** Files of at most so many bytes are to come with their open; 0: none. */
  readonly withOpenBytes: number;
}
