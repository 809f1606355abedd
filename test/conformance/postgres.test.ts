import { Database } from '../adapters/postgres/database.ts';
import { postgresRoutes } from '../support/postgres.ts';
import { describeStore } from './suite.ts';
import { LANES } from './world.ts';

for (const route of postgresRoutes()) {
  describeStore(`Postgres, ${route.name}`, async () => {
    const database = await Database.on(route);
    const { stores, operators } = database.stores({ lanes: LANES });
    return {
      stores,
      operators,
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
  });
}
