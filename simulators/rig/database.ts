/** What the database knows, read by plain SQL, in the neutral shape of the oracle. */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { FenceRow, FinalRow, InboxRow } from '../oracle/types.ts';

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

/** The statements that the oracle's documentation gives to everybody. */
const sql = (name: string): string => readFileSync(new URL(`../oracle/${name}.sql`, import.meta.url), 'utf8');
const FINAL_ROWS = `SELECT row_to_json(f) AS row FROM (${sql('final-rows')}) f WHERE channel = $1 AND starts_with(room, $2)`;
const INBOX_ROWS = `SELECT row_to_json(i) AS row FROM (${sql('inbox-rows')}) i WHERE channel = $1`;
const FENCE_ROWS = `SELECT row_to_json(w) AS row FROM (${sql('fence-rows')}) w`;

/** Whoever waits for everything to settle does not wait for so long. */
const A_WHILE_MS = 60_000;

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
    return this.#rows<FinalRow>(FINAL_ROWS, [channel, roomPrefix]);
  }

  /** Acks of one channel that are or were kept without a message. */
  async inbox(channel: string): Promise<InboxRow[]> {
    return this.#rows<InboxRow>(INBOX_ROWS, [channel]);
  }

  async fences(): Promise<FenceRow[]> {
    return this.#rows<FenceRow>(FENCE_ROWS, []);
  }

  /**
   * Messages that are committed and not settled, without those of rooms that an operator has stopped or must see to, and
   * of those whose first one is not to be sent yet for a while.
   */
  async unsettled(): Promise<number> {
    const { rows } = await this.#pool.query<{ count: string }>(
      `SELECT (SELECT count(*) FROM messages) - (
        SELECT coalesce(sum(tail - settled), 0) FROM rooms r
        WHERE tail > settled AND (phase = 'held' OR paused OR EXISTS (
          SELECT FROM messages m
          WHERE m.shard = r.shard AND m.room_id = r.id AND m.sequence = r.settled + 1
            AND m.not_before > extract(epoch FROM now()) * 1000 + $1
        ))
      ) AS count`,
      [A_WHILE_MS],
    );
    return Number(rows[0]?.count);
  }

  async deadLetters(): Promise<DeadLetterCount[]> {
    const { rows } = await this.#pool.query<{ kind: 'message' | 'intake'; reason: string; count: string }>(
      'SELECT kind, reason, count(*) FROM dead_letters GROUP BY kind, reason ORDER BY kind, reason',
    );
    return rows.map(({ kind, reason, count }) => ({ kind, reason, count: Number(count) }));
  }

  async #rows<T>(statement: string, values: readonly unknown[]): Promise<T[]> {
    const { rows } = await this.#pool.query<{ row: T }>(statement, [...values]);
    return rows.map(({ row }) => row);
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
