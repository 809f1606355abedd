/** What the database knows, read by plain SQL, in the neutral shape of the oracle. */
import pg from 'pg';
import type { FinalRow, Outcome } from '../oracle/types.ts';

export const DATABASE = 'roomline';

/** Creates Roomline's database on the server, unless it is there. */
export async function ensureDatabase(adminUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}

export interface DeadLetterCount {
  readonly kind: 'message' | 'intake';
  readonly reason: string;
  readonly count: number;
}

interface FinalRecord {
  readonly key: string;
  readonly room: string;
  readonly sequence: string;
  readonly outcome: Outcome | null;
  readonly attempts: number;
  readonly claim_version: string | null;
  readonly settle_version: string | null;
}

const FINAL_STATE = `
  WITH known AS (
    SELECT shard, id, room, settled, attempt, first_claim_version FROM rooms
    WHERE channel = $1 AND starts_with(room, $2)
    UNION ALL
    SELECT shard, id, room, settled, attempt, first_claim_version FROM resting_rooms
    WHERE channel = $1 AND starts_with(room, $2)
  )
  SELECT h.message_id AS key, known.room, h.sequence, h.outcome, json_array_length(h.attempts) AS attempts,
         nullif(h.first_claim_version, 0) AS claim_version, h.settle_version
  FROM known JOIN history h ON h.shard = known.shard AND h.room_id = known.id
  UNION ALL
  SELECT m.message_id, known.room, m.sequence, NULL,
         CASE WHEN m.sequence = known.settled + 1 THEN known.attempt ELSE 0 END,
         CASE WHEN m.sequence = known.settled + 1 THEN nullif(known.first_claim_version, 0) END, NULL
  FROM known JOIN messages m ON m.shard = known.shard AND m.room_id = known.id`;

/** A reader's own connections; they see what the engine has committed, and disturb nothing. */
export class DatabaseReader {
  readonly #pool: pg.Pool;

  constructor(url: string) {
    this.#pool = new pg.Pool({ connectionString: url, max: 2, application_name: 'roomline-rig' });
    // A server that is killed on purpose ends idle connections; the next query says what matters.
    this.#pool.on('error', () => undefined);
  }

  /** Every message of the rooms of one channel whose names begin so. */
  async finalState(channel: string, roomPrefix = ''): Promise<FinalRow[]> {
    const { rows } = await this.#pool.query<FinalRecord>(FINAL_STATE, [channel, roomPrefix]);
    return rows.map(({ key, room, sequence, outcome, attempts, claim_version, settle_version }) => ({
      key,
      room,
      sequence: Number(sequence),
      outcome,
      attempts,
      claimVersion: claim_version === null ? null : Number(claim_version),
      settleVersion: settle_version === null ? null : Number(settle_version),
    }));
  }

  /** Messages that are committed and not settled. */
  async unsettled(): Promise<number> {
    const { rows } = await this.#pool.query<{ count: string }>('SELECT count(*) FROM messages');
    return Number(rows[0]?.count);
  }

  async deadLetters(): Promise<DeadLetterCount[]> {
    const { rows } = await this.#pool.query<{ kind: 'message' | 'intake'; reason: string; count: string }>(
      'SELECT kind, reason, count(*) FROM dead_letters GROUP BY kind, reason ORDER BY kind, reason',
    );
    return rows.map(({ kind, reason, count }) => ({ kind, reason, count: Number(count) }));
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
