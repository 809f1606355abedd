/** Postgres as a part of the process: its stores, looked at before they are used, and what keeps its tables small. */
import type { Instruments } from '../../engine/instruments.ts';
import type { Clock, Stores } from '../../engine/ports.ts';
import { defineService, runLoop, type Service } from '../../engine/service.ts';
import { errorFields } from '../../telemetry.ts';
import { refusesRow } from './failures.ts';
import type { PostgresOptions } from './options.ts';
import { openStores, type PostgresStores } from './stores.ts';

export interface PostgresDependencies {
  readonly instruments: Instruments;
  readonly clock: Clock;
  /** A defect of the maintenance itself; what the database refuses is logged and tried again. */
  readonly onFailure: (error: unknown) => void;
}

export interface Postgres {
  readonly stores: Stores;
  readonly shards: number;
  readonly maintenance: PostgresStores['maintenance'];
  /** True for an error that the same row would meet again: a value that the store refuses. */
  readonly isPermanent: (error: unknown) => boolean;
  readonly readiness: () => Promise<{ readonly name: string; readonly ok: boolean; readonly detail: string }>;
  /** Does the maintenance; its stop closes every connection. */
  readonly service: Service;
}

const HOUR_MS = 3_600_000;
const MAINTENANCE_EVERY_MS = HOUR_MS;
const MAINTENANCE_RETRY_MS = 60_000;
const PARTITIONS_AHEAD_DAYS = 7;
/** How long an ack waits for an acceptance to name its message. */
const INBOX_KEEP_MS = 24 * HOUR_MS;

/**
 * @throws RoomlineError `schema_outdated`, `shards_mismatch` or `unsafe_postgres_setting`; else what connecting gave
 */
export async function createPostgres(options: PostgresOptions & PostgresDependencies): Promise<Postgres> {
  const { instruments, clock, onFailure } = options;
  const opened = openStores({
    ...options,
    onConnectionLost: (error) => {
      instruments.log.event('postgres.batch_failed', { reason: 'connection_lost', count: 0, ...errorFields(error) });
    },
  });
  const { stores, maintenance } = opened;
  const checked = await opened.check().catch(async (error: unknown) => {
    await opened.close();
    throw error;
  });

  async function maintain(): Promise<number> {
    try {
      await maintenance.makePartitions(PARTITIONS_AHEAD_DAYS);
      await maintenance.dropExpired(clock.now());
      await stores.inbox.prune(clock.now(), INBOX_KEEP_MS);
      return MAINTENANCE_EVERY_MS;
    } catch (error) {
      instruments.log.event('postgres.batch_failed', { reason: 'maintenance', count: 0, ...errorFields(error) });
      return MAINTENANCE_RETRY_MS;
    }
  }

  return {
    stores,
    shards: checked.shards,
    maintenance,
    isPermanent: refusesRow,
    readiness: async () => ({ name: 'postgres', ...(await readiness(opened, checked.unsafeSettings)) }),
    service: defineService('postgres', (scope) => {
      scope.onStop(() => opened.close());
      const loop = runLoop(maintain, {
        timers: { schedule: (delayMs, callback) => clock.after(delayMs, callback) },
        onFailure,
      });
      scope.onStop(() => loop.stop());
    }),
  };
}

async function readiness(
  opened: PostgresStores,
  unsafeSettings: readonly string[],
): Promise<{ ok: boolean; detail: string }> {
  try {
    const { current } = await opened.schemaVersion();
    if (!current) return { ok: false, detail: 'the schema lacks migrations' };
    const unsafe = unsafeSettings.length === 0 ? '' : `; commits may be lost: ${unsafeSettings.join(', ')}`;
    return { ok: true, detail: `answers${unsafe}` };
  } catch {
    return { ok: false, detail: 'does not answer' };
  }
}
