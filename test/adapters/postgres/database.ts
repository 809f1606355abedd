/** Databases and sessions for the tests of the Postgres store. */
import pg from 'pg';
import type { PostgresOptions } from '../../../src/adapters/postgres/options.ts';

export function openOptions(url: string, wishes: Partial<PostgresOptions> = {}): PostgresOptions {
  return {
    url,
    lanes: 2,
    poolMax: 8,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 5_000,
    idleInTransactionSessionTimeoutMs: 1_000,
    preparedStatements: true,
    dedupeDays: 8,
    historyRetentionDays: 30,
    allowUnsafeSettings: false,
    ...wishes,
  };
}

/** Runs something in a session of its own, beside those of the store. */
export async function session<T>(url: string, run: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'test session' });
  await client.connect();
  try {
    return await run(client);
  } finally {
    await client.end();
  }
}
