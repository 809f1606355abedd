import type { AnotherHistory } from '../../engine/fleet-ports.ts';
import type { Stores } from '../../engine/ports.ts';
import { MemoryChannelStore } from './channels.ts';
import { createDatabase } from './database.ts';
import { MemoryDeadLetterStore } from './dead-letters.ts';
import { MemoryHistoryStore } from './history.ts';
import { MemoryAckInbox } from './inbox.ts';
import { MemoryOwnershipStore } from './ownership.ts';
import { MemoryRoomStore } from './rooms.ts';

export interface MemoryStoresOptions {
  readonly shards: number;
  /** The database's clock: engine time in ms. */
  readonly now: () => number;
  /** For tests of a database that has gone back in time. */
  readonly anotherHistory?: () => AnotherHistory | null;
}

/**
 * Every store port in memory, for tests and for simulation. Each call takes effect as a whole in a later microtask;
 * there are no timers and no chance, so that the same calls always give the same answers.
 */
export function createMemoryStores(options: MemoryStoresOptions): Stores {
  const database = createDatabase(options.shards, options.now, options.anotherHistory);
  return {
    rooms: new MemoryRoomStore(database),
    history: new MemoryHistoryStore(database),
    inbox: new MemoryAckInbox(database),
    ownership: new MemoryOwnershipStore(database),
    channels: new MemoryChannelStore(),
    deadLetters: new MemoryDeadLetterStore(database),
  };
}
