/**
 * Failures by what they have in common: counted in memory where they happen, added to what is stored once a second. A
 * crash loses what was counted since, a second's worth; so does an addition of which nobody knows whether it was stored.
 */
import { errorFields, type TelemetryEvents } from '../telemetry.ts';
import { fingerprintOf, refusedPayload } from './fingerprint.ts';
import type { Instruments } from './instruments.ts';
import type { FailureGroup, FailureStore } from './operator-ports.ts';
import { type Clock, OutcomeUnknownError } from './ports.ts';
import { defineService, runLoop, type Service } from './service.ts';

export interface FailureCounterDependencies {
  readonly store: Pick<FailureStore, 'merge'>;
  readonly clock: Clock;
  readonly instruments: Instruments;
  readonly onFailure: (error: unknown) => void;
}

const MERGE_EVERY_MS = 1_000;

export function createFailureCounter(to: FailureCounterDependencies): Service {
  const { store, clock, instruments } = to;
  const { telemetry, log } = instruments;
  const groups = new Map<string, FailureGroup>();

  function add(group: FailureGroup): void {
    const known = groups.get(group.fingerprint);
    groups.set(group.fingerprint, known === undefined ? group : together(known, group));
  }

  function count(failure: TelemetryEvents['failure.seen']): void {
    const at = clock.now();
    const { channel, kind, code, deadLetter, sample } = failure;
    const fingerprint = fingerprintOf(channel, failure);
    const counts = { count: failure.again ? 0 : 1, deadLetters: deadLetter ? 1 : 0 };
    add({ fingerprint, channel, kind, code, ...counts, firstSeen: at, lastSeen: at, sample });
  }

  async function merge(): Promise<void> {
    const counted = [...groups.values()];
    groups.clear();
    if (counted.length === 0) return;
    try {
      await store.merge(counted);
    } catch (error) {
      log.event('postgres.batch_failed', { reason: 'failures', count: counted.length, ...errorFields(error) });
      if (!(error instanceof OutcomeUnknownError)) for (const group of counted) add(group);
    }
  }

  return defineService('failures', (scope) => {
    const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
    scope.onStop(telemetry.on('failure.seen', count));
    scope.onStop(
      telemetry.on('intake.refused', ({ source, code }) => {
        // A caller over HTTP has its answer.
        if (source !== 'http')
          count({ channel: null, ...refusedPayload(code), again: false, deadLetter: true, sample: null });
      }),
    );
    const step = (): Promise<number> => merge().then(() => MERGE_EVERY_MS);
    const loop = runLoop(step, { timers, onFailure: to.onFailure });
    scope.onStop(async () => {
      await loop.stop();
      await merge();
    });
  });
}

function together(one: FailureGroup, other: FailureGroup): FailureGroup {
  return {
    ...one,
    count: one.count + other.count,
    deadLetters: one.deadLetters + other.deadLetters,
    firstSeen: Math.min(one.firstSeen, other.firstSeen),
    lastSeen: Math.max(one.lastSeen, other.lastSeen),
    sample: other.sample ?? one.sample,
  };
}
