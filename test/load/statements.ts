/** How many statements the database was sent, where the server counts them. */
import type { Target } from './target.ts';

/**
 * Begins to count; the function that it resolves with tells how many there were, those of leases and sweeps included.
 * Null where the server has no pg_stat_statements.
 */
export async function countStatements(target: Target): Promise<(() => Promise<number>) | null> {
  const preloaded = await target.query<{ libraries: string }>(
    `SELECT current_setting('shared_preload_libraries') AS libraries`,
  );
  if (preloaded[0]?.libraries.includes('pg_stat_statements') !== true) return null;
  await target.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
  await target.query('SELECT pg_stat_statements_reset()');
  return async () => {
    const rows = await target.query<{ calls: string }>(
      `SELECT sum(calls) AS calls FROM pg_stat_statements
       WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND query NOT LIKE '%pg_stat_statements%'`,
    );
    return Number(rows[0]?.calls);
  };
}
