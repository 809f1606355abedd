/** What keeps the tables small. Any process may do it, several at once too. */
import { NOTED_FOR_MS, type PipelineStore, type RecipientStore } from '../../engine/pipeline-ports.ts';
import type { RoomAddress } from '../../room/room.ts';
import { integers } from './arrays.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

const DAY_MS = 86_400_000;
const PRUNE_ROWS = 5_000;
/** How long a worker that is fenced and owns nothing stays on record. */
const WORKER_KEEP_MS = 7 * DAY_MS;

export interface MaintenanceOptions {
  readonly pool: Pool;
  readonly dedupeDays: number;
  readonly historyRetentionDays: number;
  readonly auditRetentionDays: number;
  readonly chartRetentionDays: number;
  readonly pipeline: Pick<PipelineStore, 'prune'>;
  readonly recipients: Pick<RecipientStore, 'prune'>;
}

export class PostgresMaintenance {
  readonly #options: MaintenanceOptions;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /**
   * Puts rooms of these shards to rest in which nothing has happened since `idleSince`, at most `limit`. Only for the
   * shards' holder: it forgets them.
   * @returns those that were
   */
  async moveToRest(shards: readonly number[], idleSince: number, limit: number): Promise<RoomAddress[]> {
    const result = await this.#options.pool.run(STATEMENTS.restRooms, [integers(shards), idleSince, limit]);
    return result.rows as RoomAddress[];
  }

  /** Makes the history's partitions up to so many days from now. @returns how many were missing */
  async makePartitions(daysAhead: number): Promise<number> {
    const result = await this.#options.pool.run(STATEMENTS.makeHistoryPartitions, [daysAhead]);
    return (result.rows[0] as { made: number }).made;
  }

  /**
   * Drops the days of the history that are neither to be read nor to recognise ids by, the platform ids, recipients, skipped
   * numbers and workers of that time, failures not seen since, old entries of the audit and old minutes of charts.
   * @returns how many days were dropped
   */
  async dropExpired(now: number): Promise<number> {
    const { pool, recipients, dedupeDays, historyRetentionDays, auditRetentionDays } = this.#options;
    const before = now - Math.max(dedupeDays, historyRetentionDays) * DAY_MS;
    const result = await pool.run(STATEMENTS.dropHistoryPartitions, [before]);
    for (let pruned = PRUNE_ROWS; pruned === PRUNE_ROWS; ) {
      pruned = (await pool.run(STATEMENTS.prunePlatformIds, [new Date(before), PRUNE_ROWS])).rowCount ?? 0;
    }
    for (let pruned = PRUNE_ROWS; pruned === PRUNE_ROWS; ) {
      const { rows } = await pool.run(STATEMENTS.pruneOrders, [before, PRUNE_ROWS]);
      pruned = (rows[0] as { pruned: number }).pruned;
    }
    // Two processes may each have left it to the other for as long.
    const noted = before - 2 * NOTED_FOR_MS;
    for (let pruned = PRUNE_ROWS; pruned === PRUNE_ROWS; ) pruned = await recipients.prune(noted, PRUNE_ROWS);
    const audited = now - auditRetentionDays * DAY_MS;
    for (let pruned = PRUNE_ROWS; pruned === PRUNE_ROWS; ) {
      const { rows } = await pool.run(STATEMENTS.pruneAudit, [audited, PRUNE_ROWS]);
      pruned = (rows[0] as { pruned: number }).pruned;
    }
    await pool.run(STATEMENTS.pruneFailures, [now - historyRetentionDays * DAY_MS]);
    const { pipeline, chartRetentionDays } = this.#options;
    const charted = now - chartRetentionDays * DAY_MS;
    for (let pruned = PRUNE_ROWS; pruned === PRUNE_ROWS; ) pruned = await pipeline.prune(charted, PRUNE_ROWS);
    await pool.run(STATEMENTS.pruneWorkers, [new Date(now - WORKER_KEEP_MS)]);
    return (result.rows[0] as { dropped: number }).dropped;
  }
}
