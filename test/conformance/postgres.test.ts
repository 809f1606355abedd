import { afterAll } from 'vitest';
import { Database } from '../adapters/postgres/database.ts';
import { postgresRoutes } from '../support/postgres.ts';
import { describeStore } from './suite.ts';
import { type Harness, LANES, SHARDS } from './world.ts';

/** Everything that a fleet, or a look at all rooms, depends on, as a new database has it. */
const NOBODY = `
  TRUNCATE workers, fences, shards, shard_pins, worker_weights, audit, rooms, messages, buffer_partitions, buffer_consumers;
  INSERT INTO shards (shard) SELECT generate_series(0, ${SHARDS - 1});
  UPDATE fleet SET membership = 1, planned = 0, planner = NULL, planner_until = NULL, changed_at = now();
`;

for (const route of postgresRoutes()) {
  const open = async (): Promise<{ database: Database; harness: Harness }> => {
    const database = await Database.on(route);
    const { stores, operators, bufferCursors } = database.stores({ lanes: LANES });
    const harness: Harness = {
      stores,
      operators,
      bufferCursors,
      endLease: async (worker) => {
        await database.query('UPDATE workers SET lease_until = clock_timestamp() WHERE worker = $1', [worker]);
      },
      // The server's clock is everybody's: to everything that leases are judged by, moving their times is the same.
      stepClock: async (byMs) => {
        await database.query(`UPDATE workers SET lease_until = lease_until - $1 * interval '1 ms'`, [byMs]);
        await database.query(`UPDATE shards SET heir_until = heir_until - $1 * interval '1 ms'`, [byMs]);
        await database.query(`UPDATE fleet SET planner_until = planner_until - $1 * interval '1 ms'`, [byMs]);
      },
      close: () => database.close(),
    };
    return { database, harness };
  };

  // Making a database takes longer than most of these tests.
  let emptied: ReturnType<typeof open> | null = null;
  const emptyFleet = async (): Promise<Harness> => {
    emptied ??= open();
    const { database, harness } = await emptied;
    await database.query(NOBODY);
    return { ...harness, close: () => Promise.resolve() };
  };
  afterAll(async () => (await emptied)?.harness.close());

  describeStore(`Postgres, ${route.name}`, async () => (await open()).harness, emptyFleet);
}
