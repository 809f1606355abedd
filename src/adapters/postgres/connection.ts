import pg from 'pg';
import { OutcomeUnknownError } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import type { ServerView } from './checks.ts';
import { type Command, exchange } from './exchange.ts';
import { hadNoEffect, hasStalePlan } from './failures.ts';
import type { PostgresOptions } from './options.ts';
import type { ServerWatch } from './server-watch.ts';
import { clientConfig } from './session.ts';
import { queryOf, type Statement } from './statements.ts';

const SESSION_ID: Statement = { name: 'roomline_session_id', text: 'SELECT pg_backend_pid() AS pid' };

/**
 * One connection that somebody has for itself. It is opened by the first call, and again by the next call after it
 * broke. Calls are sent without waiting for each other's answers and are executed in order.
 */
export class Connection {
  readonly #options: PostgresOptions;
  readonly #purpose: string;
  readonly #watch: ServerWatch;
  /** What each session saw of its server when it was last asked. */
  readonly #views = new WeakMap<pg.Client, { readonly view: ServerView; readonly epoch: number }>();
  #client: Promise<pg.Client> | null = null;
  #closed = false;

  constructor(options: PostgresOptions, purpose: string, watch: ServerWatch) {
    this.#options = options;
    this.#purpose = purpose;
    this.#watch = watch;
    watch.register(purpose, () => this.look());
  }

  /**
   * What its session is on, asked now.
   * @throws RoomlineError `database_in_recovery`
   */
  async look(): Promise<ServerView> {
    const client = await this.#open();
    return this.#look(client).catch((error: unknown) => {
      if (!(error instanceof RoomlineError)) return this.#fail(client, 'the look at the server', error);
      this.#drop(client);
      throw error;
    });
  }

  /** The past of the database is the known one, as the session last saw; where it was not, the session looks again. */
  async isOnKnownHistory(): Promise<boolean> {
    const client = await this.#open();
    if (this.#views.get(client)?.view.anotherHistory === null) return true;
    return (await this.look()).anotherHistory === null;
  }

  async #look(client: pg.Client): Promise<ServerView> {
    const view = await this.#watch.look(this.#purpose, (query) => client.query(query));
    this.#views.set(client, { view, epoch: this.#watch.epoch });
    return view;
  }

  /**
   * One statement, committed by itself.
   * @throws OutcomeUnknownError where its answer never came; any other error means that it had no effect
   */
  async run(statement: Statement, values: readonly unknown[]): Promise<pg.QueryResult> {
    const client = await this.#open();
    const query = queryOf(statement, values, this.#options.preparedStatements);
    return client.query(query).catch((error: unknown) => this.#fail(client, statement.name, error));
  }

  /**
   * Statements of one transaction, sent in one go, so that it never waits for this process; see `exchange` for what may
   * follow the first. `onStarted` is told the id of the server's session as soon as that has begun it.
   * @returns the statements' answers, when all is committed
   * @throws OutcomeUnknownError where it may have been committed; any other error means that it had no effect
   */
  async transact(commands: readonly Command[], onStarted?: (processId: number) => void): Promise<pg.QueryResult[]> {
    const client = await this.#open();
    const prepared = this.#options.preparedStatements;
    const failed = (error: unknown): never => this.#fail(client, this.#purpose, error);
    if (onStarted === undefined) return exchange(client, commands, { prepared }).catch(failed);
    const onFirstRow = (row: unknown) => onStarted((row as { pid: number }).pid);
    const sent = exchange(client, [[SESSION_ID, []], ...commands], { prepared, onFirstRow });
    return (await sent.catch(failed)).slice(1);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const client = await this.#client?.catch(() => null);
    this.#client = null;
    await client?.end();
  }

  async #open(): Promise<pg.Client> {
    for (;;) {
      const client = await this.#opened();
      if (this.#views.get(client)?.epoch === this.#watch.epoch) return client;
      // Another connection has come to another server since: where this session leads is not to be relied on.
      this.#drop(client);
    }
  }

  #opened(): Promise<pg.Client> {
    if (this.#closed) return Promise.reject(new Error('the store is closed'));
    if (this.#client === null) {
      const opening = this.#connect();
      this.#client = opening;
      opening.catch(() => this.#forget(opening));
    }
    return this.#client;
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ ...clientConfig(this.#options, this.#purpose), pipeline: true });
    let connected = false;
    const lost = (error: Error): void => {
      if (!connected) return;
      connected = false;
      this.#drop(client);
      if (!this.#closed) this.#options.onConnectionLost?.(error);
    };
    client.on('error', lost);
    client.on('end', () => lost(new Error('the connection was closed')));
    await client.connect();
    connected = true;
    // Whoever has moved the address since the last session, nothing is done before it is known where this one is.
    await this.#look(client).catch(async (error: unknown) => {
      connected = false;
      await client.end().catch(() => undefined);
      throw error;
    });
    return client;
  }

  /** The connection may not be used again unless the statement simply failed. */
  #fail(client: pg.Client, what: string, error: unknown): never {
    const definite = hadNoEffect(error);
    if (!definite || hasStalePlan(error)) this.#drop(client);
    if (definite) throw error;
    throw new OutcomeUnknownError(`the connection broke before the answer of ${what} came`, { cause: error });
  }

  #drop(client: pg.Client): void {
    const current = this.#client;
    void current?.then(
      (open) => {
        if (open !== client) return;
        this.#forget(current);
        // A dead connection's goodbye may fail; there is nobody left to tell.
        return client.end().catch(() => undefined);
      },
      () => undefined,
    );
  }

  #forget(client: Promise<pg.Client>): void {
    if (this.#client === client) this.#client = null;
  }
}
