import type { BufferCursors } from '../../engine/buffer-ports.ts';
import type { OperatorStores } from '../../engine/operator-ports.ts';
import type { Stores } from '../../engine/ports.ts';
import { PostgresBufferCursors } from './buffer.ts';
import { PostgresChannelStore } from './channels.ts';
import { appliedMigrations, type Check, checkDatabase, type ServerView } from './checks.ts';
import { Connection } from './connection.ts';
import { PostgresDeadLetterStore } from './dead-letters.ts';
import { PostgresDecisions } from './decisions.ts';
import { PostgresDevelopment } from './development.ts';
import { PostgresFleetStore } from './fleet.ts';
import { PostgresHistoryStore } from './history.ts';
import { PostgresAckInbox } from './inbox.ts';
import { PostgresFailureStore, PostgresLetterStore } from './letters.ts';
import { PostgresMaintenance } from './maintenance.ts';
import { KNOWN_MIGRATIONS } from './migrate.ts';
import { PostgresAuditStore, PostgresChannelSettingsStore } from './operators.ts';
import type { PostgresOptions } from './options.ts';
import { PostgresOwnershipStore } from './ownership.ts';
import { PostgresPipelineStore } from './pipeline.ts';
import { Pool } from './pool.ts';
import { PostgresRecipientStore } from './recipients.ts';
import { PostgresRoomStore } from './rooms.ts';
import { ServerWatch } from './server-watch.ts';

export interface PostgresStores {
  readonly stores: Stores;
  readonly operators: OperatorStores;
  readonly bufferCursors: BufferCursors;
  readonly maintenance: PostgresMaintenance;
  readonly decisions: PostgresDecisions;
  readonly development: PostgresDevelopment;
  /**
   * Looks at the database before it is used.
   * @throws RoomlineError `database_in_recovery`, `schema_outdated`, `shards_mismatch` or `unsafe_postgres_setting`; else
   *   what connecting gave
   */
  check(): Promise<Check>;
  /**
   * What the server is like now.
   * @throws RoomlineError `database_in_recovery`
   */
  look(): Promise<ServerView>;
  /** Settings under which commits may be lost, of any session that the stores have now. */
  unsafeSettings(): readonly string[];
  /** For readiness: whether the database answers and its schema is the one that this version needs. */
  schemaVersion(): Promise<{ readonly current: boolean; readonly applied: readonly string[] }>;
  close(): Promise<void>;
}

/** Connections that are not of the pool: appends, renewals, fences. */
const RESERVED = 3;

/** Every store of one database. Connections are opened when they are first needed. */
export function openStores(options: PostgresOptions): PostgresStores {
  const watch = new ServerWatch((unsafeSettings) => options.onUnsafeSettings?.(unsafeSettings));
  const lanes = Array.from({ length: options.lanes }, (_, lane) => new Connection(options, `lane ${lane}`, watch));
  const appends = new Connection(options, 'appends', watch);
  const renewals = new Connection(options, 'renewals', watch);
  const fences = new Connection(options, 'fences', watch);
  const pool = new Pool(options, Math.max(1, options.poolMax - RESERVED), watch);
  const look = () => watch.look('pool', (query) => pool.query(query, 'the look at the server'));
  watch.register('pool', look);
  const { dedupeDays, historyRetentionDays, auditRetentionDays, chartRetentionDays = 30 } = options;
  const pipeline = new PostgresPipelineStore(pool);
  const recipients = new PostgresRecipientStore(pool);
  return {
    stores: {
      rooms: new PostgresRoomStore({ lanes, appends, pool, dedupeDays }),
      history: new PostgresHistoryStore(pool),
      inbox: new PostgresAckInbox(pool),
      ownership: new PostgresOwnershipStore({ renewals, fences, pool, watch }),
      channels: new PostgresChannelStore(pool),
      deadLetters: new PostgresDeadLetterStore(pool),
    },
    operators: {
      settings: new PostgresChannelSettingsStore(pool),
      audit: new PostgresAuditStore(pool),
      fleet: new PostgresFleetStore(pool),
      pipeline,
      recipients,
      letters: new PostgresLetterStore(pool),
      failures: new PostgresFailureStore(pool),
    },
    bufferCursors: new PostgresBufferCursors(pool),
    decisions: new PostgresDecisions(pool),
    development: new PostgresDevelopment(appends, pool),
    maintenance: new PostgresMaintenance({
      pool,
      pipeline,
      recipients,
      dedupeDays,
      historyRetentionDays,
      auditRetentionDays,
      chartRetentionDays,
    }),
    check: () => checkDatabase(pool, options, look),
    look,
    unsafeSettings: () => watch.unsafeSettings,
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
