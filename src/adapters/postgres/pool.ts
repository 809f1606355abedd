import pg from 'pg';
import { OutcomeUnknownError } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import { hadNoEffect, hasStalePlan } from './failures.ts';
import type { PostgresOptions } from './options.ts';
import { clientConfig } from './session.ts';
import { queryOf, type Statement } from './statements.ts';

/** Connections for whatever needs none of its own. */
export class Pool {
  readonly #pool: pg.Pool;
  readonly #prepared: boolean;
  #closed: Promise<void> | null = null;

  constructor(options: PostgresOptions, max: number) {
    this.#pool = new pg.Pool({ ...clientConfig(options, 'pool'), max, onConnect: refuseStandby });
    // The pool drops the connection itself.
    this.#pool.on('error', (error) => options.onConnectionLost?.(error));
    // The pool listens to idle connections only. While one is lent, its query tells that it broke.
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
    this.#prepared = options.preparedStatements;
  }

  /**
   * One statement, committed by itself.
   * @throws OutcomeUnknownError where its answer never came; any other error means that it had no effect
   */
  async run(statement: Statement, values: readonly unknown[]): Promise<pg.QueryResult> {
    const query = queryOf(statement, values, this.#prepared);
    for (;;) {
      try {
        return await this.query(query, statement.name);
      } catch (error) {
        // Each connection notices for itself, once, that a migration has changed a table.
        if (!hasStalePlan(error)) throw error;
      }
    }
  }

  async query(query: pg.QueryConfig, what: string): Promise<pg.QueryResult> {
    const client = await this.#pool.connect();
    try {
      const result = await client.query(query);
      client.release();
      return result;
    } catch (error) {
      const definite = hadNoEffect(error);
      client.release(!definite || hasStalePlan(error));
      if (definite) throw error;
      throw new OutcomeUnknownError(`the connection broke before the answer of ${what} came`, { cause: error });
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#pool.end();
    return this.#closed;
  }
}

/** Nothing is ever decided from what a standby says: it may be behind. */
async function refuseStandby(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query('SELECT pg_is_in_recovery() AS in_recovery');
  if ((rows[0] as { in_recovery: boolean }).in_recovery) throw new RoomlineError('database_in_recovery');
}
