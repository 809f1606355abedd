import pg from 'pg';
import { OutcomeUnknownError } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import { hadNoEffect, hasStalePlan } from './failures.ts';
import type { PostgresOptions } from './options.ts';
import type { ServerWatch } from './server-watch.ts';
import { clientConfig } from './session.ts';
import { queryOf, type Statement } from './statements.ts';

/** An idle connection is kept for so long: to open one takes longest when many things are to be done at once. */
const KEPT_FOR_MS = 600_000;

/** Connections for whatever needs none of its own. */
export class Pool {
  readonly #options: PostgresOptions;
  readonly #max: number;
  readonly #watch: Pick<ServerWatch, 'epoch'>;
  #pool: pg.Pool;
  #epoch: number;
  /** Of former epochs. */
  readonly #ending = new Set<Promise<void>>();
  #closed: Promise<void> | null = null;

  constructor(options: PostgresOptions, max: number, watch: Pick<ServerWatch, 'epoch'>) {
    this.#options = options;
    this.#max = max;
    this.#watch = watch;
    this.#epoch = watch.epoch;
    this.#pool = this.#make();
  }

  #make(): pg.Pool {
    const options = this.#options;
    const pool = new pg.Pool({
      ...clientConfig(options, 'pool'),
      max: this.#max,
      idleTimeoutMillis: KEPT_FOR_MS,
      onConnect: refuseStandby,
    });
    // The pool drops the connection itself.
    pool.on('error', (error) => options.onConnectionLost?.(error));
    // The pool listens to idle connections only. While one is lent, its query tells that it broke.
    pool.on('connect', (client) => client.on('error', () => undefined));
    return pool;
  }

  /** Sessions of a former epoch may lead to a server that is the database no more. */
  #current(): pg.Pool {
    if (this.#epoch !== this.#watch.epoch && this.#closed === null) {
      const ending = this.#pool.end().finally(() => this.#ending.delete(ending));
      this.#ending.add(ending);
      this.#epoch = this.#watch.epoch;
      this.#pool = this.#make();
    }
    return this.#pool;
  }

  /**
   * One statement, committed by itself.
   * @throws OutcomeUnknownError where its answer never came; any other error means that it had no effect
   */
  async run(statement: Statement, values: readonly unknown[]): Promise<pg.QueryResult> {
    const query = queryOf(statement, values, this.#options.preparedStatements);
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
    const client = await this.#current().connect();
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
    this.#closed ??= Promise.all([this.#pool.end(), ...this.#ending]).then(() => undefined);
    return this.#closed;
  }
}

/** Nothing is ever decided from what a standby says: it may be behind. */
async function refuseStandby(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query('SELECT pg_is_in_recovery() AS in_recovery');
  if ((rows[0] as { in_recovery: boolean }).in_recovery) throw new RoomlineError('database_in_recovery');
}
