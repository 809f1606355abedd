import type { AnotherHistory, OwnershipStore } from '../../engine/ports.ts';
import type { Connection } from './connection.ts';
import type { Pool } from './pool.ts';
import type { ServerWatch } from './server-watch.ts';
import { queryOf, STATEMENTS } from './statements.ts';

/** A fence waits this long for a batch that is open; what is open longer is ended. */
const BLOCKER_LIMIT_MS = 500;

export interface OwnershipStoreOptions {
  /** Only for renewals: nothing may make them wait. */
  readonly renewals: Connection;
  /** For what may have to wait for open batches. */
  readonly fences: Connection;
  readonly pool: Pool;
  readonly watch: ServerWatch;
  /** Told how many sessions were ended because they kept a fence waiting. */
  readonly onBlockersEnded?: (count: number) => void;
}

export class PostgresOwnershipStore implements OwnershipStore {
  readonly #options: OwnershipStoreOptions;

  constructor(options: OwnershipStoreOptions) {
    this.#options = options;
  }

  async shardCount(): Promise<number> {
    const result = await this.#options.pool.run(STATEMENTS.shardCount, []);
    return only<{ shards: number }>(result.rows, 'the database has no settings: it was not migrated').shards;
  }

  async register(
    worker: string,
    leaseMs: number,
  ): Promise<{ databaseTimeMs: number; generation: number; anotherHistory: AnotherHistory | null }> {
    const { anotherHistory, databaseTimeMs } = await this.#options.renewals.look();
    if (anotherHistory !== null) return { databaseTimeMs, generation: 0, anotherHistory };
    const result = await this.#options.renewals.run(STATEMENTS.registerWorker, [worker, leaseMs]);
    const row = only<{ database_time: number; generation: number }>(result.rows, `worker ${worker} was not registered`);
    return { databaseTimeMs: row.database_time, generation: row.generation, anotherHistory: null };
  }

  async renew(
    worker: string,
    leaseMs: number,
  ): Promise<{ databaseTimeMs: number; anotherHistory: AnotherHistory | null } | null> {
    // Every time, not only on a new connection: behind a pooler the server changes without one.
    const { anotherHistory, databaseTimeMs } = await this.#options.renewals.look();
    void this.#options.watch.lookAgain();
    if (anotherHistory !== null) return { databaseTimeMs, anotherHistory };
    const result = await this.#options.renewals.run(STATEMENTS.renewWorker, [worker, leaseMs]);
    const [row] = result.rows as { database_time: number }[];
    return row === undefined ? null : { databaseTimeMs: row.database_time, anotherHistory: null };
  }

  async expiredWorkers(): Promise<string[]> {
    const result = await this.#options.pool.run(STATEMENTS.expiredWorkers, []);
    return (result.rows as { worker: string }[]).map((row) => row.worker);
  }

  async fence(worker: string): Promise<boolean> {
    const { fences, pool } = this.#options;
    const known = await pool.run(STATEMENTS.readFence, [worker]);
    if (only<{ fenced: boolean }>(known.rows, unknownWorker(worker)).fenced) return true;
    let ending: NodeJS.Timeout | undefined;
    try {
      const [fenced] = await fences.transact([[STATEMENTS.fenceWorker, [worker]]], (processId) => {
        ending = setInterval(() => void this.#endBlockers(processId), BLOCKER_LIMIT_MS);
      });
      return fenced?.rowCount === 1;
    } finally {
      clearInterval(ending);
    }
  }

  async takeShards(worker: string): Promise<number[]> {
    const result = await this.#options.fences.run(STATEMENTS.takeShards, [worker]);
    return (result.rows as { shard: number }[]).map((row) => row.shard).sort((a, b) => a - b);
  }

  async raiseGeneration(worker: string): Promise<number> {
    const result = await this.#options.fences.run(STATEMENTS.raiseGeneration, [worker]);
    return only<{ generation: number }>(result.rows, unknownWorker(worker)).generation;
  }

  async release(worker: string): Promise<void> {
    const result = await this.#options.fences.run(STATEMENTS.releaseWorker, [worker]);
    only(result.rows, unknownWorker(worker));
  }

  /** Where this may not be done the fence goes on waiting, up to its lock timeout: whoever fences tries again. */
  async #endBlockers(processId: number): Promise<void> {
    const { pool, onBlockersEnded } = this.#options;
    const query = queryOf(STATEMENTS.endBlockers, [processId], false);
    const ended = await pool.query(query, STATEMENTS.endBlockers.name).catch(() => null);
    if (ended !== null && ended.rows.length > 0) onBlockersEnded?.(ended.rows.length);
  }
}

function unknownWorker(worker: string): string {
  return `worker ${worker} is not registered`;
}

function only<T>(rows: readonly unknown[], otherwise: string): T {
  if (rows.length === 0) throw new Error(otherwise);
  return rows[0] as T;
}
