/** What passes validation is storable, and comes back byte for byte. */
import { refusesRow } from '../../src/adapters/postgres/failures.ts';
import { openStores, type PostgresStores } from '../../src/adapters/postgres/stores.ts';
import { openOptions } from '../adapters/postgres/database.ts';
import { createDatabase, postgresServers, type TestDatabase } from '../support/postgres.ts';
import { describeCorpus } from './corpus-run.ts';
import { Rig } from './rig.ts';

for (const server of postgresServers().slice(-1)) {
  let database: TestDatabase;
  let opened: PostgresStores;

  describeCorpus(
    `Postgres, ${server.name}`,
    async () => {
      database = await createDatabase(server);
      opened = openStores(openOptions(database.url));
      const shards = await opened.stores.ownership.shardCount();
      return new Rig({ stores: opened.stores, shards, isPermanent: refusesRow }).start();
    },
    async (rig) => {
      await rig.stop();
      await opened.close();
      await database.drop();
    },
  );
}
