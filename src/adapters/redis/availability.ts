import type { Instruments } from '../../engine/instruments.ts';
import type { Clock } from '../../engine/ports.ts';
import type { RedisError } from './trouble.ts';

/** Whether Redis serves: every failure is counted, and an outage is told once when it begins and once when it ends. */
export class Availability {
  readonly #instruments: Instruments;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #dependency: string;
  /** `byAnswer`: it is reached and refuses what it is asked, so that a new connection proves nothing. */
  #outage: { readonly since: number; readonly code: string; readonly byAnswer: boolean } | null = null;

  constructor(instruments: Instruments, clock: Pick<Clock, 'monotonic'>, dependency = 'redis') {
    this.#instruments = instruments;
    this.#clock = clock;
    this.#dependency = dependency;
    instruments.metrics.dependencyUp.set({ dependency }, 0);
  }

  /** Why it is away; null where nothing failed. */
  get reason(): string | null {
    return this.#outage?.code ?? null;
  }

  failed(error: RedisError): void {
    const { log, metrics, telemetry } = this.#instruments;
    const dependency = this.#dependency;
    metrics.dependencyErrors.inc({ dependency, kind: error.kind });
    // Nothing was tried: it may be that the connection is just being made.
    if (error.kind === 'away') return;
    const before = this.#outage;
    const byAnswer = error.kind === 'refused' || before?.byAnswer === true;
    this.#outage = { since: before?.since ?? this.#clock.monotonic(), code: error.code, byAnswer };
    if (before !== null) return;
    metrics.dependencyUp.set({ dependency }, 0);
    log.event('dependency.lost', { dependency, errorName: error.name, code: error.code });
    telemetry.emit('dependency.lost', { dependency });
  }

  connected(): void {
    if (this.#outage?.byAnswer !== true) this.served();
  }

  served(): void {
    const { log, metrics, telemetry } = this.#instruments;
    const dependency = this.#dependency;
    metrics.dependencyUp.set({ dependency }, 1);
    if (this.#outage === null) return;
    const durationMs = Math.round(this.#clock.monotonic() - this.#outage.since);
    this.#outage = null;
    log.event('dependency.back', { dependency, durationMs });
    telemetry.emit('dependency.back', { dependency });
  }
}
