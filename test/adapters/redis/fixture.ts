/** Connections as processes have them, to the Redis of a test, with what they log and count. */
import { readFileSync } from 'node:fs';
import { RedisConnection, type RedisOptions } from '../../../src/adapters/redis/connection.ts';
import { createSharedRates } from '../../../src/adapters/redis/shared-rates.ts';
import type { Instruments } from '../../../src/engine/instruments.ts';
import type { SharedRates } from '../../../src/engine/ports.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../../src/telemetry.ts';
import { eventually } from '../../support/events.ts';

export const SCRIPT = readFileSync(new URL('../../../src/adapters/redis/take_tokens.lua', import.meta.url), 'utf8');

/** Everything that was ever logged, as it would be printed. */
export class Instrumented implements Instruments {
  readonly lines: string[] = [];
  readonly log = createLog({ level: 'debug', destination: { write: (line) => void this.lines.push(line) } });
  readonly metrics = createMetrics({ version: 'test' });
  readonly telemetry = new Telemetry();
  readonly hash = recipientHasher('a key of this test');

  logged(): { readonly event: string; readonly [field: string]: unknown }[] {
    return this.lines.map((line) => JSON.parse(line) as { event: string });
  }

  events(): string[] {
    return this.logged().map(({ event }) => event);
  }

  async errors(): Promise<Record<string, number>> {
    const { values } = await this.metrics.dependencyErrors.get();
    return Object.fromEntries(values.map(({ labels, value }) => [String(labels.kind), value]));
  }

  async up(): Promise<number | undefined> {
    return (await this.metrics.dependencyUp.get()).values[0]?.value;
  }
}

export class Client {
  readonly instruments = new Instrumented();
  readonly connection: RedisConnection;
  readonly rates: SharedRates;

  constructor(options: Pick<RedisOptions, 'url'> & Partial<RedisOptions>) {
    this.connection = new RedisConnection(
      { keyPrefix: 'test:', connectTimeoutMs: 1_000, commandTimeoutMs: 250, ...options },
      { instruments: this.instruments, clock: { monotonic: () => performance.now() }, chance: Math.random },
    );
    this.rates = createSharedRates(this.connection);
    this.connection.open();
  }

  /** Resolves when it serves. */
  async untilUp(): Promise<this> {
    await eventually('Redis is connected', async () => (await this.instruments.up()) === 1);
    return this;
  }
}
