import type { Stores } from '../../engine/ports.ts';
import { PostgresChannelStore } from './channels.ts';
import { appliedMigrations, type Check, checkDatabase } from './checks.ts';
import { Connection } from './connection.ts';
import { PostgresDeadLetterStore } from './dead-letters.ts';
import { PostgresHistoryStore } from './history.ts';
import { PostgresAckInbox } from './inbox.ts';
import { PostgresMaintenance } from './maintenance.ts';
import { KNOWN_MIGRATIONS } from './migrate.ts';
import type { PostgresOptions } from './options.ts';
import { PostgresOwnershipStore } from './ownership.ts';
import { Pool } from './pool.ts';
import { PostgresRoomStore } from './rooms.ts';

export interface PostgresStores {
  readonly stores: Stores;
  readonly maintenance: PostgresMaintenance;
  /**
   * Looks at the database before it is used.
   * @throws RoomlineError `schema_outdated`, `shards_mismatch` or `unsafe_postgres_setting`; else what connecting gave
   */
  check(): Promise<Check>;
  /** For readiness: whether the database answers and its schema is the one that this version needs. */
  schemaVersion(): Promise<{ readonly current: boolean; readonly applied: readonly string[] }>;
  close(): Promise<void>;
}

/** Connections that are not of the pool: appends, renewals, fences. */
const RESERVED = 3;

/** Every store of one database. Connections are opened when they are first needed. */
export function openStores(options: PostgresOptions): PostgresStores {
  const lanes = Array.from({ length: options.lanes }, (_, lane) => new Connection(options, `lane ${lane}`));
  const appends = new Connection(options, 'appends');
  const renewals = new Connection(options, 'renewals');
  const fences = new Connection(options, 'fences');
  const pool = new Pool(options, Math.max(1, options.poolMax - RESERVED));
  const { dedupeDays, historyRetentionDays } = options;
  return {
    stores: {
      rooms: new PostgresRoomStore({ lanes, appends, pool, dedupeDays }),
      history: new PostgresHistoryStore(pool),
      inbox: new PostgresAckInbox(pool),
      ownership: new PostgresOwnershipStore({ renewals, fences, pool }),
      channels: new PostgresChannelStore(pool),
      deadLetters: new PostgresDeadLetterStore(pool),
    },
    maintenance: new PostgresMaintenance({ pool, dedupeDays, historyRetentionDays }),
    check: () => checkDatabase(pool, options),
    schemaVersion: async () => {
      const applied = await appliedMigrations(pool);
      return { current: KNOWN_MIGRATIONS.every((name) => applied.includes(name)), applied };
    },
    close: async () => {
      await Promise.all([...lanes, appends, renewals, fences].map((connection) => connection.close()));
      await pool.close();
    },
  };
}
