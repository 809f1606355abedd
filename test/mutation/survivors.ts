/** Mutants of the core that no test can tell from the original, each with the reason. */

export interface Survivor {
  /** Below src/room. */
  readonly file: string;
  /** The line that it changes, without indentation. */
  readonly line: string;
  /** What it puts in place of a part of that line. */
  readonly replacement: string;
  readonly reason: string;
}

export const SURVIVORS: readonly Survivor[] = [];
