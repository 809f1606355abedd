/** The hour's database: in memory, watched by the judge, with a history that is dropped after a while. */
import { MemoryChannelStore } from '../../src/adapters/memory/channels.ts';
import { createDatabase, type MemoryDatabase } from '../../src/adapters/memory/database.ts';
import { MemoryDeadLetterStore } from '../../src/adapters/memory/dead-letters.ts';
import { MemoryHistoryStore } from '../../src/adapters/memory/history.ts';
import { MemoryAckInbox } from '../../src/adapters/memory/inbox.ts';
import { MemoryOwnershipStore } from '../../src/adapters/memory/ownership.ts';
import { MemoryRoomStore } from '../../src/adapters/memory/rooms.ts';
import type { NewMessage, RoomStore, RoomWrite, Stores } from '../../src/engine/ports.ts';
import { methodsOf } from '../world/database.ts';
import type { VirtualTime } from '../world/time.ts';
import { messageName, numberIn } from './feed.ts';
import type { Judge } from './judge.ts';

export interface HourDatabase {
  readonly stores: Stores;
  readonly deadLetters: () => number;
}

/** Longer than any copy or status takes to come, so that the dropping shows nowhere. */
const KEEP_HISTORY_MS = 20 * 60_000;
const DROP_EVERY_MS = 60_000;

export function createHourDatabase(time: VirtualTime, judge: Judge, shards: number): HourDatabase {
  const database = createDatabase(shards, () => Math.floor(time.now));
  const retention = new Retention(database, time);
  const stores: Stores = {
    rooms: watched(new MemoryRoomStore(database), judge, retention),
    history: new MemoryHistoryStore(database),
    inbox: new MemoryAckInbox(database),
    ownership: new MemoryOwnershipStore(database),
    channels: new MemoryChannelStore(),
    deadLetters: new MemoryDeadLetterStore(database),
  };
  return { stores, deadLetters: () => database.deadLetters.length };
}

/** Shows the judge what is committed, at the moment of the commit. */
function watched(rooms: RoomStore, judge: Judge, retention: Retention): RoomStore {
  return {
    ...bound(rooms),
    append: async (batch) => {
      const results = await rooms.append(batch);
      results.forEach((result, index) => {
        if (result.kind !== 'appended') return;
        const { key, messageId } = batch[index] as NewMessage;
        judge.appended(numberIn(key.room), numberIn(messageId), result.sequence);
      });
      return results;
    },
    compareAndSet: async (lane, writes, proof) => {
      const results = await rooms.compareAndSet(lane, writes, proof);
      results.forEach(({ kind }, index) => {
        if (kind !== 'committed') return;
        const { next, facts } = writes[index] as RoomWrite;
        for (const fact of facts) {
          if (fact.kind !== 'settled') continue;
          const room = numberIn(next.key.room);
          retention.settled(next.id, fact.sequence, judge.settled(room, fact.sequence, fact.outcome));
        }
      });
      return results;
    },
  };
}

function bound<T extends object>(store: T): T {
  const from = store as unknown as Record<string, (...args: unknown[]) => unknown>;
  return Object.fromEntries(methodsOf(store).map((name) => [name, from[name]?.bind(store)])) as T;
}

interface SettledRow {
  readonly at: number;
  readonly id: number;
  readonly sequence: number;
  readonly message: number | null;
}

/** Drops settled messages after a while: a whole hour of them would fill the memory. */
class Retention {
  readonly #database: MemoryDatabase;
  readonly #time: VirtualTime;
  #rows: SettledRow[] = [];

  constructor(database: MemoryDatabase, time: VirtualTime) {
    this.#database = database;
    this.#time = time;
    this.#drop();
  }

  settled(id: number, sequence: number, message: number | null): void {
    this.#rows.push({ at: this.#time.now, id, sequence, message });
  }

  #drop(): void {
    const oldest = this.#time.now - KEEP_HISTORY_MS;
    const firstKept = this.#rows.findIndex(({ at }) => at > oldest);
    const dropped = firstKept === -1 ? [] : this.#rows.splice(0, firstKept);
    for (const { id, sequence, message } of dropped) {
      const record = this.#database.rooms.get(id);
      record?.history.delete(sequence);
      if (message !== null) record?.ids.delete(messageName(message));
    }
    this.#time.after(DROP_EVERY_MS, () => this.#drop());
  }
}
