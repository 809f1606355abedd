import { openStores } from '../../src/adapters/postgres/stores.ts';
import { openOptions, session } from '../adapters/postgres/database.ts';
import { createDatabase, postgresServers } from '../support/postgres.ts';
import { describeStore } from './suite.ts';
import { LANES } from './world.ts';

for (const server of postgresServers()) {
  describeStore(`Postgres, ${server.name}`, async () => {
    const database = await createDatabase(server);
    const opened = openStores(openOptions(database.url, { lanes: LANES }));
    return {
      stores: opened.stores,
      endLease: (worker) =>
        session(database.url, async (client) => {
          await client.query('UPDATE workers SET lease_until = clock_timestamp() WHERE worker = $1', [worker]);
        }),
      close: async () => {
        await opened.close();
        await database.drop();
      },
    };
  });
}
