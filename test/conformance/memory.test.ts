import { openMemoryStores } from '../../src/adapters/memory/stores.ts';
import { START } from '../support/rooms.ts';
import { describeStore } from './suite.ts';
import { SHARDS, SHORT_LEASE_MS } from './world.ts';

describeStore('memory', async () => {
  let now = START;
  return {
    ...openMemoryStores({ shards: SHARDS, now: () => now }),
    endLease: async () => {
      now += SHORT_LEASE_MS;
    },
    stepClock: async (byMs) => {
      now += byMs;
    },
    close: async () => undefined,
  };
});
