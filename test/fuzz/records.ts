import type { HistoryEntry, Stores, WaitingMessage } from '../../src/engine/ports.ts';
import type { RoomKey } from '../../src/room/room.ts';
import { shardOf } from '../../src/room/shard.ts';

const NEWEST = 3;

/** Reads what the stores hold, past the engine. */
export class RoomRecords {
  readonly #stores: Stores;
  readonly #shards: number;

  constructor(stores: Stores, shards: number) {
    this.#stores = stores;
    this.#shards = shards;
  }

  /** The rows of these rooms with their newest messages, and the newest dead letters, as one text to compare. */
  async snapshot(rooms: readonly RoomKey[]): Promise<string> {
    const parts: unknown[] = [];
    for (const key of rooms) {
      const stored = await this.#stores.rooms.findRoom(key, shardOf(key, this.#shards));
      const messages = stored === null ? [] : await this.#stores.history.listRoom(stored.row, null, NEWEST);
      parts.push([key, stored, messages.map(({ body, ...rest }) => ({ ...rest, body: Buffer.from(body).toString() }))]);
    }
    return JSON.stringify([parts, await this.#stores.deadLetters.list(null, NEWEST)]);
  }

  /** Its newest messages, the newest first. */
  async messages(key: RoomKey, limit: number = NEWEST): Promise<(HistoryEntry | WaitingMessage)[]> {
    const stored = await this.#stores.rooms.findRoom(key, shardOf(key, this.#shards));
    return stored === null ? [] : this.#stores.history.listRoom(stored.row, null, limit);
  }

  async newestLetter(): Promise<{ readonly reason: string; readonly detail: string | null } | null> {
    return (await this.#stores.deadLetters.list(null, 1))[0] ?? null;
  }
}
