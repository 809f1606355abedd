import type { RunFigures } from './figures.ts';
import type { BenchOptions } from './options.ts';

export interface WorkloadContext {
  readonly options: BenchOptions;
  /** Unique among the runs of this process. */
  readonly run: string;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Workload {
  describe(options: BenchOptions): string;
  /** @throws RunNotClean where the oracle found a broken rule */
  measure(context: WorkloadContext): Promise<RunFigures>;
}

export const RUN_DEADLINE_MS = 300_000;
/** Outlasts any run that goes as it should: there, nothing times out. */
export const LONG_ACK_TIMEOUT_MS = 120_000;
