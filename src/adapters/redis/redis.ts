/** Redis as a part of the process: what makes it faster and is never needed. */
import type { LiveBus } from '../../engine/live-ports.ts';
import type { SharedBudgets, SharedRates, Signals } from '../../engine/ports.ts';
import { defineService, type Service } from '../../engine/service.ts';
import { RedisConnection, type RedisOptions } from './connection.ts';
import { RedisLive } from './live.ts';
import { createSharedBudgets, createSharedRates } from './shared-rates.ts';
import { RedisSignals, type SignalsDependencies } from './signals.ts';

export interface Redis {
  readonly sharedRates: SharedRates;
  readonly sharedBudgets: SharedBudgets;
  readonly signals: Signals;
  readonly live: LiveBus;
  /** Its start does not wait for the connection. */
  readonly service: Service;
}

export function createRedis(options: RedisOptions, dependencies: SignalsDependencies): Redis {
  const connection = new RedisConnection(options, dependencies);
  const signals = new RedisSignals(connection, options, dependencies);
  const live = new RedisLive(connection, signals, options, dependencies);
  return {
    signals,
    live,
    sharedRates: createSharedRates(connection),
    sharedBudgets: createSharedBudgets(connection),
    service: defineService('redis', (scope) => {
      scope.onStop(() => connection.close());
      connection.open();
      scope.onStop(() => signals.close());
      signals.open();
      scope.onStop(() => live.close());
    }),
  };
}
