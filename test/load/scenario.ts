import type { LoadOptions } from './options.ts';
import type { Cell } from './samples.ts';
import type { TargetOptions } from './target.ts';

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

export interface ScenarioContext {
  readonly options: LoadOptions;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Scenario {
  describe(options: LoadOptions): string;
  /** @throws RunNotClean where something that was accepted is not stored, or not in order */
  measure(context: ScenarioContext): Promise<readonly Table[]>;
}

/** A system as these options ask for it. */
export function targetOf({ options, signal, say }: ScenarioContext, processes: number): TargetOptions {
  const { postgres, settings, profile } = options;
  return { processes, postgres, settings, profile, signal, say };
}
