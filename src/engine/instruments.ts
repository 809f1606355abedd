import type { Log, Metrics, RecipientHash, Telemetry } from '../telemetry.ts';

/** How the engine tells what it does: logs, metrics, events in the process. */
export interface Instruments {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly telemetry: Telemetry;
  /** Turns a room or a recipient into what a log may show. */
  readonly hash: (text: string) => RecipientHash;
}
