import type { BufferCursors } from '../../engine/buffer-ports.ts';
import type { AnotherHistory } from '../../engine/fleet-ports.ts';
import type { OperatorStores } from '../../engine/operator-ports.ts';
import type { Stores } from '../../engine/ports.ts';
import { MemoryBufferCursors } from './buffer.ts';
import { MemoryChannelStore } from './channels.ts';
import { createDatabase } from './database.ts';
import { MemoryDeadLetterStore } from './dead-letters.ts';
import { MemoryFleetStore } from './fleet.ts';
import { MemoryHistoryStore } from './history.ts';
import { MemoryAckInbox } from './inbox.ts';
import { MemoryFailureStore, MemoryLetterStore } from './letters.ts';
import { createMemoryOperatorStores } from './operators.ts';
import { MemoryOwnershipStore } from './ownership.ts';
import { MemoryPipelineStore } from './pipeline.ts';
import { MemoryRecipientStore } from './recipients.ts';
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
export function openMemoryStores(options: MemoryStoresOptions): {
  readonly stores: Stores;
  readonly operators: OperatorStores;
  readonly bufferCursors: BufferCursors;
} {
  const database = createDatabase(options.shards, options.now, options.anotherHistory);
  const ownership = new MemoryOwnershipStore(database);
  const operators = createMemoryOperatorStores({ now: options.now });
  return {
    stores: {
      rooms: new MemoryRoomStore(database),
      history: new MemoryHistoryStore(database),
      inbox: new MemoryAckInbox(database),
      ownership,
      channels: new MemoryChannelStore(),
      deadLetters: new MemoryDeadLetterStore(database),
    },
    operators: {
      ...operators,
      fleet: new MemoryFleetStore(database, ownership, operators.audit),
      letters: new MemoryLetterStore(database, operators.audit),
      failures: new MemoryFailureStore(),
      pipeline: new MemoryPipelineStore(database, ownership),
      recipients: new MemoryRecipientStore(database),
    },
    bufferCursors: new MemoryBufferCursors(database),
  };
}

/** Those that the data path asks. */
export function createMemoryStores(options: MemoryStoresOptions): Stores {
  return openMemoryStores(options).stores;
}
