/** What the processes of one database share: who is there, and who holds which shard. */

/** One line of a database's life: a promoted standby goes on on a new timeline, a restored dump is another cluster. */
export interface DatabaseIdentity {
  /** A number of 64 bits, in digits. */
  readonly systemIdentifier: string;
  readonly timeline: number;
}

/** The database is not, or no longer, the one whose past is known: what had been committed may be gone. */
export interface AnotherHistory {
  readonly stored: DatabaseIdentity;
  readonly seen: DatabaseIdentity;
}

/** A process that is registered and not fenced. */
export interface FleetMember {
  readonly worker: string;
  /** The name of its node, the same in every life. */
  readonly name: string;
  /** Only those with the role `worker` hold shards. */
  readonly roles: readonly string[];
  /** Its part of the shards, against that of others; an operator's word goes before its own. */
  readonly weight: number;
  /** It gives all its shards away and is given none. */
  readonly draining: boolean;
  /** Until its lease ends, in ms; 0 or less where it has ended. */
  readonly leaseLeftMs: number;
}

export interface ShardRow {
  /** Null, or fenced: whoever plans may give it to anybody. */
  readonly owner: string | null;
  /** To whom its owner is to hand it over. */
  readonly heir: string | null;
  /** Raised with every change of the row. */
  readonly epoch: number;
}

export interface OwnShard {
  readonly shard: number;
  readonly heir: string | null;
  readonly epoch: number;
}

/** What a plan is made from. */
export interface FleetView {
  /** Changes with every worker that comes, goes, drains or is weighted anew, and with every pin. */
  readonly membership: number;
  readonly members: readonly FleetMember[];
  /** By shard. */
  readonly shards: readonly ShardRow[];
  /** Shards that belong to the node of a name as long as it is there. */
  readonly pins: ReadonlyMap<number, string>;
}

/** What a renewal and a glance tell of the others. */
export interface FleetNews {
  readonly membership: number;
  /** The membership that the present distribution was planned for. */
  readonly planned: number;
  /** Other processes that are registered and not fenced. */
  readonly others: number;
  /** Of these, how many say that they hear other signals than this one. */
  readonly unheard: number;
  /**
   * Until the first lease of another would end, in ms, 0 where more than a whole one is left; null where there is no
   * other.
   */
  readonly nextLeaseEndMs: number | null;
  /** The longest life that the lease of another has; null where there is no other. */
  readonly longestLeaseMs: number | null;
  readonly databaseTimeMs: number;
}

/** A shard that goes from `from` to `to`; `to` null withdraws its heir. */
export interface ShardMove {
  readonly shard: number;
  readonly from: string | null;
  readonly to: string | null;
}

export interface WorkerRegistration {
  readonly worker: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly weight: number;
  readonly leaseMs: number;
  /** The same in all processes that hear each other's signals; null: not known. */
  readonly hears: string | null;
}

export interface OwnershipStore {
  /** The number of shards, fixed when the database was created. */
  shardCount(): Promise<number>;
  /**
   * Makes the worker's heartbeat and fence rows; `worker` must be new. In another history nothing is made, and the
   * generation is 0.
   */
  register(registration: WorkerRegistration): Promise<{
    readonly databaseTimeMs: number;
    readonly generation: number;
    readonly anotherHistory: AnotherHistory | null;
  }>;
  /**
   * Null where the worker was fenced, where its lease had ended, or where it has kept a shard longer than it may that
   * it was to hand over to a living worker. Runs on a reserved connection. In another history nothing is renewed.
   */
  renew(
    worker: string,
    leaseMs: number,
  ): Promise<{ readonly anotherHistory: AnotherHistory | null; readonly news: FleetNews } | null>;
  /** What has changed, without a renewal. */
  glance(worker: string): Promise<FleetNews>;
  /**
   * Workers that are not fenced yet and whose lease has ended, or has more than its whole life left: the database's clock
   * was set back since it was renewed, and if its worker lives it renews it soon.
   */
  expiredWorkers(): Promise<{ readonly worker: string; readonly leaseLeftMs: number }[]>;
  /**
   * Fences a worker whose lease has so ended, in a transaction of its own; waits for its open batches, and ends what
   * blocks it longer than 500 ms. False where the worker's lease is alive after all.
   */
  fence(worker: string): Promise<boolean>;
  /**
   * The right to plan for the present membership, for two seconds, and what to plan from. Null where that is planned
   * already, or somebody else is at it.
   */
  beginPlan(worker: string): Promise<FleetView | null>;
  /** What a plan would be made from, for whoever only looks. */
  view(): Promise<FleetView>;
  /**
   * Stores a plan for `membership`. A shard whose owner is none or fenced changes hands at once; to any other an heir is
   * given, to whom its owner hands it over within `handOverLimitMs` of its own lease: long enough for it to hear of that
   * and for the longest send that its lease allows. A shard whose owner is not the move's is left as it is, and the plan
   * counts as made only where there was none such.
   * @returns false where the membership is another, or a shard was left: plan again
   */
  applyPlan(membership: number, moves: readonly ShardMove[]): Promise<boolean>;
  /** All that the worker owns; nothing for a fenced one. */
  ownShards(worker: string): Promise<OwnShard[]>;
  /**
   * Gives shards of the worker to their heirs, each only at the epoch it was read at; one whose heir is not alive stays,
   * without an heir.
   * @returns those that were given
   */
  handOver(worker: string, shards: readonly OwnShard[]): Promise<number[]>;
  /** The worker is to give all its shards away. False where there is no such worker. */
  drain(worker: string): Promise<boolean>;
  /** Raises the generation: refuses this worker's delayed claims. Waits for its open batches. */
  raiseGeneration(worker: string): Promise<number>;
  /** Fences the worker itself: a graceful end. What it still owns is free. Nothing where there is no such worker. */
  release(worker: string): Promise<void>;
}
