/** Postgres as a part of the process: its stores, looked at before they are used, and what keeps its tables small. */
import type { BufferCursors } from '../../engine/buffer-ports.ts';
import type { Instruments } from '../../engine/instruments.ts';
import type { OperatorStores } from '../../engine/operator-ports.ts';
import type { Clock, Stores } from '../../engine/ports.ts';
import { defineService, runLoop, type Service } from '../../engine/service.ts';
import { RoomlineError } from '../../errors.ts';
import { errorFields } from '../../telemetry.ts';
import type { ServerView } from './checks.ts';
import type { PostgresDevelopment } from './development.ts';
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
  readonly operators: OperatorStores;
  readonly bufferCursors: BufferCursors;
  readonly development: PostgresDevelopment;
  readonly shards: number;
  /** True for an error that the same row would meet again: a value that the store refuses. */
  readonly isPermanent: (error: unknown) => boolean;
  readonly readiness: () => Promise<{ readonly name: string; readonly ok: boolean; readonly detail: string }>;
  /** Does the maintenance; its stop closes every connection. */
  readonly service: Service;
  /** Puts rooms to rest that have been idle for a day; only for shards that this process holds. */
  readonly restService: (heldShards: () => readonly number[]) => Service;
}

const HOUR_MS = 3_600_000;
const MAINTENANCE_EVERY_MS = HOUR_MS;
const MAINTENANCE_RETRY_MS = 60_000;
const PARTITIONS_AHEAD_DAYS = 7;
/** Rooms idle for this long leave the hot table. */
const REST_AFTER_MS = 24 * HOUR_MS;
const REST_BATCH = 1_000;
/** How long an ack waits for an acceptance to name its message. */
const INBOX_KEEP_MS = 24 * HOUR_MS;

/**
 * @throws RoomlineError `database_in_recovery`, `schema_outdated`, `shards_mismatch` or `unsafe_postgres_setting`; else
 *   what connecting gave
 */
export async function createPostgres(options: PostgresOptions & PostgresDependencies): Promise<Postgres> {
  const { instruments, clock, onFailure } = options;
  const opened = openStores({
    ...options,
    onUnsafeSettings: (unsafeSettings) => {
      instruments.metrics.unsafeSettings.set(unsafeSettings.length);
      if (unsafeSettings.length === 0) instruments.log.event('postgres.safe', {});
      else instruments.log.event('postgres.unsafe', { reason: unsafeSettings.join(', ') });
    },
    onConnectionLost: (error) => {
      instruments.log.event('postgres.batch_failed', { reason: 'connection_lost', count: 0, ...errorFields(error) });
    },
  });
  const { stores, maintenance } = opened;
  const checked = await opened.check().catch(async (error: unknown) => {
    await opened.close();
    throw error;
  });
  tellUncomparable(instruments, checked.view);

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

  async function rest(shards: readonly number[]): Promise<number> {
    if (shards.length === 0) return MAINTENANCE_RETRY_MS;
    try {
      const resting = await maintenance.moveToRest(shards, clock.now() - REST_AFTER_MS, REST_BATCH);
      return resting.length === REST_BATCH ? 0 : MAINTENANCE_EVERY_MS;
    } catch (error) {
      instruments.log.event('postgres.batch_failed', { reason: 'rest', count: 0, ...errorFields(error) });
      return MAINTENANCE_RETRY_MS;
    }
  }

  function loopService(name: string, step: () => Promise<number>, after: () => Promise<void>): Service {
    return defineService(name, (scope) => {
      scope.onStop(after);
      const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
      const loop = runLoop(step, { timers, onFailure });
      scope.onStop(() => loop.stop());
    });
  }

  return {
    stores,
    operators: opened.operators,
    bufferCursors: opened.bufferCursors,
    development: opened.development,
    shards: checked.shards,
    isPermanent: refusesRow,
    readiness: async () => ({ name: 'postgres', ...(await readiness(opened, options.allowUnsafeSettings)) }),
    service: loopService('postgres', maintain, () => opened.close()),
    restService: (heldShards) =>
      loopService(
        'rest',
        () => rest(heldShards()),
        () => Promise.resolve(),
      ),
  };
}

/** A database whose identity is not known may go back in time and nobody notices: that is said once. */
function tellUncomparable({ log }: Instruments, { seen, stored }: ServerView): void {
  if (seen === null) {
    const rule =
      'GRANT EXECUTE ON FUNCTION pg_control_system(), pg_current_wal_lsn(), pg_walfile_name(pg_lsn) TO <role>';
    log.event('database.uncomparable', { reason: 'the role may not ask which cluster and timeline this is', rule });
  } else if (stored === null) {
    const rule = 'roomline migrate';
    log.event('database.uncomparable', { reason: 'no cluster and timeline were stored when it was created', rule });
  }
}

async function readiness(opened: PostgresStores, allowUnsafe: boolean): Promise<{ ok: boolean; detail: string }> {
  try {
    const { current } = await opened.schemaVersion();
    if (!current) return { ok: false, detail: 'the schema lacks migrations' };
    await opened.look();
  } catch (error) {
    const standby = error instanceof RoomlineError && error.code === 'database_in_recovery';
    return { ok: false, detail: standby ? error.detail : 'does not answer' };
  }
  const unsafe = opened.unsafeSettings();
  if (unsafe.length === 0) return { ok: true, detail: 'answers' };
  const allowed = allowUnsafe ? ' (allowed by postgres.allowUnsafeSettings)' : '';
  return { ok: allowUnsafe, detail: `commits may be lost: ${unsafe.join(', ')}${allowed}` };
}
