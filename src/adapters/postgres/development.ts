/** Development mode: everything that is known of messages deleted. */
import type { AuditNote } from '../../engine/operator-ports.ts';
import { RoomlineError } from '../../errors.ts';
import type { Connection } from './connection.ts';
import { noteValues } from './operators.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS, type Statement } from './statements.ts';

/** In the order in which batches take them, so that none of them waits for a table while we wait for it. */
export const EMPTIED_TABLES = [
  'rooms',
  'resting_rooms',
  'messages',
  'history',
  'parked',
  'skipped_orders',
  'late_orders',
  'platform_ids',
  'dead_letters',
  'failures',
  'recipients',
  'pipeline_parts',
  'lingering_rooms',
  'channel_minutes',
] as const;

/** What is configured, who is there, and what operators did. */
export const KEPT_TABLES = [
  'audit',
  'buffer_consumers',
  'buffer_partitions',
  'channel_settings',
  'channel_settings_revision',
  'channels',
  'database_decisions',
  'fences',
  'fleet',
  'roomline_migrations',
  'settings',
  'shard_pins',
  'shards',
  'worker_weights',
  'workers',
] as const;

/** Ids go on where they were: what a process still holds of a room that is gone fits no later one. */
const EMPTY: Statement = { name: 'roomline_empty_tables', text: `TRUNCATE ${EMPTIED_TABLES.join(', ')}` };
/** Every worker begins a new life, and forgets what it held. */
const FENCE_ALL: Statement = { name: 'roomline_fence_all', text: 'UPDATE fences SET fenced = true WHERE NOT fenced' };

const INSUFFICIENT_PRIVILEGE = '42501';

export class PostgresDevelopment {
  readonly #connection: Connection;
  readonly #pool: Pool;

  /** @param connection that of appends: none of this process is open then */
  constructor(connection: Connection, pool: Pool) {
    this.#connection = connection;
    this.#pool = pool;
  }

  async database(): Promise<string> {
    const { rows } = await this.#pool.query({ text: 'SELECT current_database() AS name' }, 'the name of the database');
    return (rows[0] as { name: string }).name;
  }

  /**
   * Deletes rooms, messages, history, dead letters, failures and charts, and fences every worker, in one transaction.
   * @throws RoomlineError `reset_not_permitted` where the role may not
   */
  async reset(note: AuditNote): Promise<void> {
    try {
      await this.#connection.transact([
        [EMPTY, []],
        [FENCE_ALL, []],
        [STATEMENTS.recordAudit, noteValues(note)],
      ]);
    } catch (error) {
      if ((error as { code?: unknown }).code !== INSUFFICIENT_PRIVILEGE) throw error;
      throw new RoomlineError('reset_not_permitted', { cause: error });
    }
  }
}
