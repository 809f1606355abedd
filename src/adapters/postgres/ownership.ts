import type {
  AnotherHistory,
  FleetMember,
  FleetNews,
  FleetView,
  OwnershipStore,
  OwnShard,
  ShardMove,
  ShardRow,
  WorkerRegistration,
} from '../../engine/fleet-ports.ts';
import { bigints, integers, texts } from './arrays.ts';
import type { Connection } from './connection.ts';
import type { Pool } from './pool.ts';
import type { ServerWatch } from './server-watch.ts';
import { queryOf, STATEMENTS } from './statements.ts';

/** A fence waits this long for a batch that is open; what is open longer is ended. */
const BLOCKER_LIMIT_MS = 500;
/** Moves of one statement, which has to end in time, and while which nobody joins or leaves. */
const MAX_MOVES = 4_096;

export interface OwnershipStoreOptions {
  /** Only for renewals: nothing may make them wait. */
  readonly renewals: Connection;
  /** For what may have to wait for open batches, and for what a shard waits for that moves: not for the pool. */
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

  async register({ worker, name, roles, weight, leaseMs, hears }: WorkerRegistration): Promise<{
    databaseTimeMs: number;
    generation: number;
    anotherHistory: AnotherHistory | null;
  }> {
    const { anotherHistory, databaseTimeMs } = await this.#options.renewals.look();
    if (anotherHistory !== null) return { databaseTimeMs, generation: 0, anotherHistory };
    const values = [worker, leaseMs, name, roles, weight, hears];
    const result = await this.#options.renewals.run(STATEMENTS.registerWorker, values);
    const row = only<{ database_time: number; generation: number }>(result.rows, `worker ${worker} was not registered`);
    return { databaseTimeMs: row.database_time, generation: row.generation, anotherHistory: null };
  }

  async renew(
    worker: string,
    leaseMs: number,
  ): Promise<{ anotherHistory: AnotherHistory | null; news: FleetNews } | null> {
    // Every time, not only on a new connection: behind a pooler the server changes without one.
    const { anotherHistory, databaseTimeMs } = await this.#options.renewals.look();
    void this.#options.watch.lookAgain();
    if (anotherHistory !== null) return { anotherHistory, news: { ...NO_NEWS, databaseTimeMs } };
    const result = await this.#options.renewals.run(STATEMENTS.renewWorker, [worker, leaseMs]);
    const [row] = result.rows as NewsRecord[];
    return row === undefined ? null : { anotherHistory: null, news: newsOf(row) };
  }

  async glance(worker: string): Promise<FleetNews> {
    const result = await this.#options.fences.run(STATEMENTS.glance, [worker]);
    return newsOf(only<NewsRecord>(result.rows, 'the fleet has no row'));
  }

  async expiredWorkers(): Promise<{ worker: string; leaseLeftMs: number }[]> {
    const result = await this.#options.pool.run(STATEMENTS.expiredWorkers, []);
    const rows = result.rows as { worker: string; lease_left: number }[];
    return rows.map(({ worker, lease_left }) => ({ worker, leaseLeftMs: lease_left }));
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

  async beginPlan(worker: string): Promise<FleetView | null> {
    const begun = await this.#options.fences.run(STATEMENTS.beginPlan, [worker]);
    const [row] = begun.rows as { membership: number }[];
    return row === undefined ? null : this.#view(row.membership);
  }

  async view(): Promise<FleetView> {
    const result = await this.#options.pool.run(STATEMENTS.readMembership, []);
    return this.#view(only<{ membership: number }>(result.rows, 'the fleet has no row').membership);
  }

  /** Read after the membership: what changes meanwhile changes that, too, and a plan is refused for it. */
  async #view(membership: number): Promise<FleetView> {
    const { pool } = this.#options;
    const [members, shards, pins] = await Promise.all([
      pool.run(STATEMENTS.readMembers, []),
      pool.run(STATEMENTS.readShards, []),
      pool.run(STATEMENTS.readPins, []),
    ]);
    return {
      membership,
      members: (members.rows as MemberRecord[]).map(memberOf),
      shards: shards.rows as ShardRow[],
      pins: new Map((pins.rows as { shard: number; name: string }[]).map(({ shard, name }) => [shard, name])),
    };
  }

  async applyPlan(membership: number, moves: readonly ShardMove[]): Promise<boolean> {
    for (let first = 0; ; first += MAX_MOVES) {
      const part = moves.slice(first, first + MAX_MOVES);
      const isLast = first + MAX_MOVES >= moves.length;
      const result = await this.#options.fences.run(STATEMENTS.applyPlan, [
        membership,
        integers(part.map(({ shard }) => shard)),
        texts(part.map(({ from }) => from)),
        texts(part.map(({ to }) => to)),
        isLast,
      ]);
      if (isLast || result.rows.length === 0) return result.rows.length === 1;
    }
  }

  async ownShards(worker: string): Promise<OwnShard[]> {
    const result = await this.#options.fences.run(STATEMENTS.ownShards, [worker]);
    const { shards, heirs, epochs } = only<OwnShardsRecord>(result.rows, 'no answer');
    return (shards ?? []).map((shard, index) => {
      return { shard, heir: heirs?.[index] ?? null, epoch: Number(epochs?.[index]) };
    });
  }

  async handOver(worker: string, shards: readonly OwnShard[]): Promise<number[]> {
    const result = await this.#options.fences.run(STATEMENTS.handOver, [
      worker,
      integers(shards.map(({ shard }) => shard)),
      bigints(shards.map(({ epoch }) => epoch)),
    ]);
    return (result.rows as { shard: number }[]).map((row) => row.shard);
  }

  async drain(worker: string): Promise<boolean> {
    const result = await this.#options.fences.run(STATEMENTS.drainWorker, [worker]);
    return result.rowCount === 1;
  }

  async raiseGeneration(worker: string): Promise<number> {
    const result = await this.#options.fences.run(STATEMENTS.raiseGeneration, [worker]);
    return only<{ generation: number }>(result.rows, unknownWorker(worker)).generation;
  }

  async release(worker: string): Promise<void> {
    await this.#options.fences.run(STATEMENTS.releaseWorker, [worker]);
  }

  /** Where this may not be done the fence goes on waiting, up to its lock timeout: whoever fences tries again. */
  async #endBlockers(processId: number): Promise<void> {
    const { pool, onBlockersEnded } = this.#options;
    const query = queryOf(STATEMENTS.endBlockers, [processId], false);
    const ended = await pool.query(query, STATEMENTS.endBlockers.name).catch(() => null);
    if (ended !== null && ended.rows.length > 0) onBlockersEnded?.(ended.rows.length);
  }
}

interface NewsRecord {
  readonly membership: number;
  readonly planned: number;
  readonly database_time: number;
  readonly others: number;
  readonly unheard: number;
  readonly next_lease_end: number | null;
  readonly longest_lease: number | null;
}

const NO_NEWS = { membership: 0, planned: 0, others: 0, unheard: 0, nextLeaseEndMs: null, longestLeaseMs: null };

function newsOf({ membership, planned, others, unheard, ...row }: NewsRecord): FleetNews {
  return {
    membership,
    planned,
    others,
    unheard,
    nextLeaseEndMs: row.next_lease_end,
    longestLeaseMs: row.longest_lease,
    databaseTimeMs: row.database_time,
  };
}

/** All null where nothing is owned. */
interface OwnShardsRecord {
  readonly shards: number[] | null;
  readonly heirs: (string | null)[] | null;
  readonly epochs: (string | number)[] | null;
}

interface MemberRecord {
  readonly worker: string;
  readonly name: string;
  readonly roles: string[];
  readonly weight: number;
  readonly draining: boolean;
  readonly lease_left: number;
}

function memberOf({ worker, name, roles, weight, draining, lease_left }: MemberRecord): FleetMember {
  return { worker, name, roles, weight, draining, leaseLeftMs: lease_left };
}

function unknownWorker(worker: string): string {
  return `worker ${worker} is not registered`;
}

function only<T>(rows: readonly unknown[], otherwise: string): T {
  if (rows.length === 0) throw new Error(otherwise);
  return rows[0] as T;
}
