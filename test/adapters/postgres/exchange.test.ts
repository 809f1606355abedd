/** Transactions of the store's own connections, on real servers. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ProxyConnection, type Tap, TcpProxy } from '../../../simulators/chaos/proxy.ts';
import { type Command, exchange } from '../../../src/adapters/postgres/exchange.ts';
import type { Statement } from '../../../src/adapters/postgres/statements.ts';
import { eventually } from '../../support/events.ts';
import { createDatabase, postgresServers, type TestDatabase } from '../../support/postgres.ts';
import { session } from './database.ts';

const statement = (name: string, text: string): Statement => ({ name, text });
const ADD = statement('add', 'INSERT INTO things (id) VALUES ($1::integer) RETURNING id');
const LOCK = statement('lock', 'SELECT id FROM things WHERE id = $1::integer FOR UPDATE');
const RAISE = statement(
  'raise',
  'UPDATE things SET id = (SELECT max(id) FROM things) + $1::integer WHERE id = 1 RETURNING id',
);
const MOST = statement('most', 'SELECT max(id) AS id FROM things');
const RENAME = statement('rename', 'UPDATE things SET id = $2::integer WHERE id = $1::integer RETURNING id');
const DIVIDE = statement('divide', 'SELECT 1 / $1::integer AS share');
/** Sessions of this database; others use the server, too. */
const WAITING = `FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
const ids = (results: readonly pg.QueryResult[]) => results.map(({ rows }) => rows.map(({ id }) => id));

describe.each(postgresServers())('An exchange with Postgres $name', (server) => {
  let database: TestDatabase;
  let client: pg.Client;

  beforeAll(async () => {
    database = await createDatabase(server);
  });

  afterAll(() => database.drop());

  beforeEach(async () => {
    client = new pg.Client({ connectionString: database.url, pipeline: true });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('DROP TABLE IF EXISTS things, nowhere');
    await client.query('CREATE TABLE things (id integer PRIMARY KEY)');
  });

  afterEach(() => client.end().catch(() => undefined));

  describe.each([
    ['with prepared statements', true],
    ['without', false],
  ])('%s', (_, prepared) => {
    const transact = (...commands: Command[]) => exchange(client, commands, { prepared });
    const stored = () =>
      session(database.url, async (other) =>
        (await other.query('SELECT id FROM things ORDER BY id')).rows.map((row) => row.id),
      );

    it('answers each statement, and all are committed', async () => {
      for (const first of [1, 11]) {
        const answered = await transact([ADD, [first]], [ADD, [first + 1]], [RENAME, [first, first + 2]]);
        expect(ids(answered)).toEqual([[first], [first + 1], [first + 2]]);
      }
      expect(await stored()).toEqual([2, 3, 12, 13]);
    });

    it('undoes all where one fails, and the session goes on', async () => {
      await transact([ADD, [1]], [DIVIDE, [1]]);
      await expect(transact([ADD, [2]], [DIVIDE, [0]], [ADD, [3]])).rejects.toMatchObject({ code: '22012' });
      expect(await stored()).toEqual([1]);
      expect(ids(await transact([ADD, [2]], [ADD, [3]]))).toEqual([[2], [3]]);
      expect(await stored()).toEqual([1, 2, 3]);
    });

    it('tells why a statement that cannot be parsed fails, not what fails for it', async () => {
      const broken = statement('broken', 'SELECT nothing FROM nowhere');
      await expect(transact([ADD, [1]], [broken, []])).rejects.toMatchObject({ code: '42P01' });
      expect(await stored()).toEqual([]);
      await client.query('CREATE TABLE nowhere (nothing integer)');
      expect(await transact([ADD, [1]], [broken, []])).toHaveLength(2);
    });

    it('holds no lock while its values are still on their way', async () => {
      await transact([ADD, [1]]);
      const url = new URL(database.url);
      const target = { host: url.hostname, port: Number(url.port) };
      let held: (() => void) | null = null;
      const stopsAt =
        (size: number): ((connection: ProxyConnection) => Tap) =>
        (connection) => ({
          up: (bytes) => {
            if (bytes.length < size || held !== null) return bytes;
            held = () => connection.pass('up', bytes.subarray(size));
            return bytes.subarray(0, size);
          },
          down: (bytes) => bytes,
        });
      const proxy = new TcpProxy({ target: () => target, tap: stopsAt(2_000) });
      await proxy.listen();
      url.port = String(proxy.port);
      const behind = new pg.Client({ connectionString: url.href, pipeline: true });
      await behind.connect();
      try {
        const large = statement('large', 'UPDATE things SET id = id WHERE length($1::text) > 0 RETURNING id');
        const sent = exchange(
          behind,
          [
            [LOCK, [1]],
            [large, ['x'.repeat(10_000)]],
          ],
          { prepared },
        );
        await eventually('half of it has been sent', () => held !== null);
        await session(database.url, (other) => other.query('SELECT FROM things WHERE id = 1 FOR UPDATE NOWAIT'));
        (held as (() => void) | null)?.();
        expect(ids(await sent)).toEqual([[1], [1]]);
      } finally {
        await behind.end();
        await proxy.close();
      }
    });

    /** With row 1 locked by another session, until that commits. */
    const whileLocked = async (run: (other: pg.Client) => Promise<void>): Promise<void> => {
      await transact([ADD, [1]]);
      await session(database.url, async (other) => {
        await other.query('BEGIN');
        await other.query('SELECT FROM things WHERE id = 1 FOR UPDATE');
        await run(other);
      });
    };
    /** Resolves when one of this database waits for a lock; `what` is asked of each such session. */
    const untilItWaits = (other: pg.Client, what = ''): Promise<unknown> =>
      eventually('it waits for the lock', async () => (await other.query(`SELECT ${what} ${WAITING}`)).rows.length > 0);

    it('lets a statement that writes see what the first has waited for, and a plain SELECT not', async () => {
      await whileLocked(async (other) => {
        const answered = transact([LOCK, [1]], [MOST, []], [RAISE, [1]]);
        await untilItWaits(other);
        await other.query('INSERT INTO things (id) VALUES (10)');
        await other.query('COMMIT');
        expect(ids(await answered)).toEqual([[1], [1], [11]]);
      });
    });

    it('tells of its first row while the second statement waits', async () => {
      await whileLocked(async (other) => {
        const pid = statement('pid', 'SELECT pg_backend_pid() AS pid');
        const commands: Command[] = [
          [pid, []],
          [LOCK, [1]],
        ];
        let locked: Promise<unknown> | null = null;
        const row = await new Promise((resolve) => {
          locked = exchange(client, commands, { prepared, onFirstRow: resolve });
        });
        expect(row).toEqual({ pid: (client as unknown as { processID: number }).processID });
        await other.query('COMMIT');
        expect(await locked).toHaveLength(2);
      });
    });

    it('fails with what broke the connection', async () => {
      await whileLocked(async (other) => {
        const failed = expect(transact([LOCK, [1]], [ADD, [2]])).rejects.toThrow();
        await untilItWaits(other, 'pg_terminate_backend(pid)');
        await failed;
        await other.query('COMMIT');
      });
      expect(await stored()).toEqual([1]);
    });
  });

  it('prepares a statement once for a session', async () => {
    const both = [1, 3].map((first) => {
      const commands: Command[] = [
        [ADD, [first]],
        [ADD, [first + 1]],
      ];
      return exchange(client, commands, { prepared: true });
    });
    expect((await Promise.all(both)).map(ids)).toEqual([
      [[1], [2]],
      [[3], [4]],
    ]);
    const { rows } = await client.query(
      'SELECT name, generic_plans + custom_plans AS uses FROM pg_prepared_statements',
    );
    expect(rows).toEqual([{ name: 'add', uses: '4' }]);
  });
});
