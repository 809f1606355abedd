/** Redis as a part of the process: what makes it faster and is never needed. */
import type { SharedRates } from '../../engine/ports.ts';
import { defineService, type Service } from '../../engine/service.ts';
import { RedisConnection, type RedisDependencies, type RedisOptions } from './connection.ts';
import { createSharedRates } from './shared-rates.ts';

export interface Redis {
  readonly sharedRates: SharedRates;
  /** Its start does not wait for the connection. */
  readonly service: Service;
}

export function createRedis(options: RedisOptions, dependencies: RedisDependencies): Redis {
  const connection = new RedisConnection(options, dependencies);
  return {
    sharedRates: createSharedRates(connection),
    service: defineService('redis', (scope) => {
      scope.onStop(() => connection.close());
      connection.open();
    }),
  };
}
