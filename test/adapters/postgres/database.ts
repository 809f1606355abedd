/** Databases and sessions for the tests of the Postgres store. */
import pg from 'pg';
import { type PostgresOptions, sessionSettings } from '../../../src/adapters/postgres/options.ts';
import { openStores, type PostgresStores } from '../../../src/adapters/postgres/stores.ts';
import { eventually } from '../../support/events.ts';
import { createDatabase, type Migrate, type ProvidedPostgres, type Route } from '../../support/postgres.ts';

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
    auditRetentionDays: 365,
    allowUnsafeSettings: false,
    ...wishes,
  };
}

/** Runs something in a session of its own, beside those of the store. */
export async function session<T>(url: string, run: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connect(url);
  try {
    return await run(client);
  } finally {
    await client.end();
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'test session' });
  // Some tests have it ended by the server; whoever uses it then sees that.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A database of its own with what a test opens on it. */
export class Database {
  /** Its own address, also where the stores go through a pooler. */
  readonly url: string;
  readonly #drop: () => Promise<void>;
  readonly #storeOptions: PostgresOptions;
  readonly #open: { close(): Promise<void> }[] = [];

  constructor(url: string, drop: () => Promise<void>, storeOptions = openOptions(url)) {
    this.url = url;
    this.#drop = drop;
    this.#storeOptions = storeOptions;
  }

  static async create(server: ProvidedPostgres, migrate?: Migrate): Promise<Database> {
    const { url, drop } = await createDatabase(server, migrate);
    return new Database(url, drop);
  }

  /** Its stores go this way: through a pooler without named statements, and with the settings of their role. */
  static async on({ server, pooled }: Route): Promise<Database> {
    const { url, pooledUrl, drop } = await createDatabase(server);
    if (!pooled) return new Database(url, drop);
    if (pooledUrl === null) throw new Error(`no pooler stands before ${server.name}`);
    const options = openOptions(pooledUrl, { preparedStatements: false, sessionSettings: 'role' });
    await session(url, async (client) => {
      for (const [setting, value] of Object.entries(sessionSettings(options))) {
        await client.query(`ALTER ROLE CURRENT_USER IN DATABASE ${client.database} SET ${setting} = '${value}'`);
      }
    });
    return new Database(url, drop, options);
  }

  /** Stores like those of one process. */
  stores(wishes: Partial<PostgresOptions> = {}): PostgresStores {
    const opened = openStores({ ...this.#storeOptions, ...wishes });
    this.#open.push(opened);
    return opened;
  }

  async session(): Promise<pg.Client> {
    const client = await connect(this.url);
    this.#open.push({ close: () => client.end() });
    return client;
  }

  query(text: string, values: unknown[] = []): Promise<pg.QueryResult> {
    return session(this.url, (client) => client.query(text, values));
  }

  /** Resolves when the session of this application name waits for a lock. */
  async waits(applicationName: string): Promise<void> {
    await eventually(`${applicationName} waits for a lock`, async () => {
      const { rows } = await this.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, $1) AND wait_event_type = 'Lock'`,
        [applicationName],
      );
      return rows.length > 0;
    });
  }

  /** Closes what was opened on it. */
  async closeOpened(): Promise<void> {
    for (const one of this.#open.splice(0).reverse()) await one.close();
  }

  async close(): Promise<void> {
    await this.closeOpened();
    await this.#drop();
  }
}
