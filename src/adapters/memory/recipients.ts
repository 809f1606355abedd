import { type Addressed, NOTED_FOR_MS, type RecipientPage, type RecipientStore } from '../../engine/pipeline-ports.ts';
import type { RoomAddress } from '../../room/room.ts';
import { compositeKey, type MemoryDatabase, nextMicrotask } from './database.ts';

export class MemoryRecipientStore implements RecipientStore {
  readonly #database: MemoryDatabase;
  readonly #noted = new Map<string, Addressed>();

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  async note(addressed: readonly Addressed[]): Promise<void> {
    await nextMicrotask();
    for (const { tenant, recipient, channel, shard, id, at } of addressed) {
      const name = compositeKey(tenant, recipient, channel, String(id));
      const known = this.#noted.get(name);
      if (known !== undefined && known.at > at - NOTED_FOR_MS) continue;
      this.#noted.set(name, { tenant, recipient, channel, shard, id, at });
    }
  }

  async find({ tenant, recipient, channels, limit }: RecipientPage) {
    await nextMicrotask();
    const rooms = [...this.#database.rooms.values()].map(({ row }) => row);
    return channels
      .flatMap(({ channel, after }) => {
        const noted = [...this.#noted.values()].filter(
          (one) => one.tenant === tenant && one.recipient === recipient && one.channel === channel,
        );
        const named = rooms.filter(
          ({ key }) => key.tenant === tenant && key.channel === channel && key.room === recipient,
        );
        const found: RoomAddress[] = [...noted, ...named].filter(({ id }) => id > after);
        return found.sort((a, b) => a.id - b.id).map(({ shard, id }) => ({ shard, id, channel }));
      })
      .slice(0, limit);
  }

  async prune(before: number, limit: number): Promise<number> {
    await nextMicrotask();
    const old = [...this.#noted].filter(([, { at }]) => at < before);
    const pruned = old.sort(([, a], [, b]) => a.at - b.at).slice(0, limit);
    for (const [name] of pruned) this.#noted.delete(name);
    return pruned.length;
  }
}
