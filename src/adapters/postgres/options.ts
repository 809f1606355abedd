import type { ClientConfig } from 'pg';

export interface PostgresOptions {
  /** postgres://user:password@host:port/database; may carry sslmode and the like. */
  readonly url: string;
  /** TLS beyond what the URL says, such as a private authority's certificate. */
  readonly ssl?: NonNullable<ClientConfig['ssl']>;
  /** Connections for batches of compare-and-set, one batch in flight on each. */
  readonly lanes: number;
  /** Connections for everything else: one for appends, two for ownership, the rest for reads and late acks; at least 4. */
  readonly poolMax: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly idleInTransactionSessionTimeoutMs: number;
  /** Named prepared statements; off behind poolers that cannot keep them apart. */
  readonly preparedStatements: boolean;
  /**
   * `startup`: timeouts and planner settings go with each connection's start. `role`: a pooler would refuse that, so
   * they must be settings of the role (`ALTER ROLE … SET`, the list is `sessionSettings`).
   */
  readonly sessionSettings?: 'startup' | 'role';
  readonly applicationName?: string;
  /** The number of shards that the caller expects the database to have. */
  readonly shards?: number;
  /** How many days a message id is recognised. */
  readonly dedupeDays: number;
  /** How many days settled messages stay readable. */
  readonly historyRetentionDays: number;
  readonly auditRetentionDays: number;
  /** How many days the minutes of charts stay readable; 30 where it is not said. */
  readonly chartRetentionDays?: number;
  /** Start although committed data may be lost. */
  readonly allowUnsafeSettings: boolean;
  /** Told when settings become unsafe or safe while the stores are open; with none where all are safe. */
  readonly onUnsafeSettings?: (unsafeSettings: readonly string[]) => void;
  /** Told of connections that broke while nobody used them; they are opened again when they are needed. */
  readonly onConnectionLost?: (error: Error) => void;
}

/** A batch gives up waiting for a lock after this, and in good time before its statement times out: it is tried again. */
const LOCK_TIMEOUT_MS = 2_000;

/**
 * What every session of the service needs. The planner settings keep it from reading whole tables that were small, or
 * empty, when a statement was prepared; statements are written so that each then has one plan.
 */
export function sessionSettings(
  options: Pick<PostgresOptions, 'statementTimeoutMs' | 'idleInTransactionSessionTimeoutMs'>,
): Readonly<Record<string, string>> {
  return {
    statement_timeout: String(options.statementTimeoutMs),
    idle_in_transaction_session_timeout: String(options.idleInTransactionSessionTimeoutMs),
    lock_timeout: String(Math.min(LOCK_TIMEOUT_MS, Math.ceil(options.statementTimeoutMs / 2))),
    default_transaction_isolation: 'read committed',
    plan_cache_mode: 'force_generic_plan',
    enable_seqscan: 'off',
    enable_bitmapscan: 'off',
    enable_memoize: 'off',
    jit: 'off',
  };
}
