import type { Instruments } from '../../engine/instruments.ts';
import type { Clock } from '../../engine/ports.ts';
import { errorFields } from '../../telemetry.ts';
import { statusOf, troubleOf } from './status.ts';

const DEPENDENCY = 'pubsub';

/** Whether messages can flow, and if not, why: one log line and one event for each change, however often it is told. */
export class Readiness {
  readonly #clock: Clock;
  readonly #instruments: Instruments;
  #trouble: string | null = 'not started';
  #since: number;
  #lost = false;

  constructor(clock: Clock, instruments: Instruments) {
    this.#clock = clock;
    this.#instruments = instruments;
    this.#since = clock.monotonic();
  }

  /** Null while messages can flow. */
  get trouble(): string | null {
    return this.#trouble;
  }

  connecting(): void {
    this.#trouble = 'connecting: Pub/Sub has not answered yet';
    this.#since = this.#clock.monotonic();
  }

  flows(): void {
    if (this.#trouble === null) return;
    this.#trouble = null;
    this.#lost = false;
    const durationMs = Math.round(this.#clock.monotonic() - this.#since);
    this.#instruments.log.event('dependency.back', { dependency: DEPENDENCY, durationMs });
    this.#instruments.telemetry.emit('dependency.back', { dependency: DEPENDENCY });
  }

  lost(error: unknown): void {
    if (this.#trouble === null) this.#since = this.#clock.monotonic();
    const trouble = troubleOf(error);
    if (this.#lost && trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#lost = true;
    const status = statusOf(error);
    const fields = { ...errorFields(error), ...(status === null ? {} : { code: status }) };
    this.#instruments.log.event('dependency.lost', { dependency: DEPENDENCY, ...fields });
    this.#instruments.telemetry.emit('dependency.lost', { dependency: DEPENDENCY });
  }

  stopped(): void {
    this.#trouble = 'stopped';
  }
}
