import { setTimeout as delay } from 'node:timers/promises';
import type { Telemetry, TelemetryEventName, TelemetryEvents } from '../../src/telemetry.ts';

const DEFAULT_DEADLINE_MS = 10_000;

/** The next event of this name that satisfies the condition; fails with a plain text at the deadline. */
export async function nextEvent<E extends TelemetryEventName>(
  telemetry: Telemetry,
  name: E,
  condition?: (event: TelemetryEvents[E]) => boolean,
  deadlineMs: number = DEFAULT_DEADLINE_MS,
): Promise<TelemetryEvents[E]> {
  const signal = AbortSignal.timeout(deadlineMs);
  try {
    return await telemetry.once(name, condition, signal);
  } catch (error) {
    throw signal.aborted ? new Error(`no such event "${name}" within ${deadlineMs} ms`, { cause: error }) : error;
  }
}

/**
 * Resolves with the first result that is neither false nor null nor undefined. Only for states that announce
 * themselves by no event, such as another process's; what the condition throws ends the wait.
 */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T | false | null | undefined> | T | false | null | undefined,
  { deadlineMs = DEFAULT_DEADLINE_MS, everyMs = 10 }: { deadlineMs?: number; everyMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const result = await condition();
    if (result !== false && result !== null && result !== undefined) return result;
    if (performance.now() >= deadline) throw new Error(`${what}: not so within ${deadlineMs} ms`);
    await delay(everyMs);
  }
}
