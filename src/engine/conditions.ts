/**
 * Conditions of channels as other processes stored them: taken up when a signal says that there is news, and now and then
 * without one.
 */
import type { Channels } from './channels.ts';
import type { ChannelCondition, Clock, Signals } from './ports.ts';
import { defineService, runLoop, type Service } from './service.ts';

export interface ConditionsOptions {
  readonly channels: Channels;
  readonly clock: Clock;
  readonly signals: Signals | null;
  /** No other process is known. */
  readonly alone: () => boolean;
  readonly storeFailed: (error: unknown) => void;
  readonly onFailure: (error: unknown) => void;
}

/** While signals are live, one may still have been lost. */
const EVERY_MS = 30_000;
const WITHOUT_SIGNALS_MS = 2_000;

export interface Conditions {
  readonly service: Service;
  /** They have changed in the store. */
  changed(): void;
}

export function createConditions(options: ConditionsOptions): Conditions {
  const { channels, clock, signals, alone, storeFailed, onFailure } = options;
  let wake = (): void => undefined;
  const service = defineService('conditions', (scope) => {
    const loop = runLoop(
      async () => {
        if (signals === null && alone()) return WITHOUT_SIGNALS_MS;
        await channels.takeUp().catch(storeFailed);
        return signals?.live === true ? EVERY_MS : WITHOUT_SIGNALS_MS;
      },
      { timers: { schedule: (delayMs, callback) => clock.after(delayMs, callback) }, onFailure },
    );
    wake = () => loop.wake();
    scope.onStop(() => loop.stop());
  });
  return { service, changed: () => wake() };
}

export function reasonOf(condition: ChannelCondition): string | null {
  return 'reason' in condition ? condition.reason : null;
}

/** Found out by a process about its own way to the platform: it may be otherwise for others. */
export function isOwnAffair(condition: ChannelCondition): boolean {
  return condition.state === 'stopped' && (condition.reason === 'no_answer' || isUnreachable(condition.reason));
}

/** Codes of definite failures to reach the platform at all. */
export function isUnreachable(code: string): boolean {
  return code.startsWith('connect_');
}
