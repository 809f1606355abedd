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
      close: () => database.close(),
    };
  });
}
