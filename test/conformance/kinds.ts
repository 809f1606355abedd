/** The stores that tests of every implementation are run on, for `describe.each`: in memory, and each way to each Postgres. */
import { openMemoryStores } from '../../src/adapters/memory/stores.ts';
import type { OperatorStores } from '../../src/engine/operator-ports.ts';
import type { Stores } from '../../src/engine/ports.ts';
import { Database } from '../adapters/postgres/database.ts';
import { postgresRoutes } from '../support/postgres.ts';

export interface OpenedStores {
  readonly stores: Stores;
  readonly operators: OperatorStores;
  readonly close: () => Promise<void>;
}

/** @param shards of those in memory */
export function kindsOfStores(shards: number): readonly (readonly [string, () => Promise<OpenedStores>])[] {
  return [
    ['memory', async () => ({ ...openMemoryStores({ shards, now: () => Date.now() }), close: async () => undefined })],
    ...postgresRoutes().map(
      (route) =>
        [
          `Postgres, ${route.name}`,
          async () => {
            const database = await Database.on(route);
            const { stores, operators } = database.stores();
            return { stores, operators, close: () => database.close() };
          },
        ] as const,
    ),
  ];
}
