import type { AckInbox, ChannelKey, InboxAck } from '../../engine/ports.ts';
import { reaches } from '../../room/ack.ts';
import { copyAck, type MemoryDatabase, nextMicrotask, type PlatformIdRow, platformIdKey } from './database.ts';

type Matched = Awaited<ReturnType<AckInbox['matchOrKeep']>>[number];

export class MemoryAckInbox implements AckInbox {
  readonly #database: MemoryDatabase;

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  async matchOrKeep(channel: ChannelKey, acks: readonly InboxAck[], now: number): Promise<Matched[]> {
    await nextMicrotask();
    return acks.map((ack): Matched => {
      const key = platformIdKey(channel, ack.platformId);
      const known = this.#database.platformIds.get(key);
      if (known?.message) return { kind: 'matched', ...known.message };
      this.#database.platformIds.set(key, kept(known, ack, now));
      return { kind: 'kept' };
    });
  }

  async read(channel: ChannelKey, platformIds: readonly string[]): Promise<InboxAck[]> {
    await nextMicrotask();
    return platformIds.flatMap((platformId) => {
      const ack = this.#database.platformIds.get(platformIdKey(channel, platformId))?.ack;
      return ack ? [ack] : [];
    });
  }

  async prune(now: number, keepMs: number): Promise<number> {
    await nextMicrotask();
    let dropped = 0;
    for (const [key, row] of this.#database.platformIds) {
      if (row.ack === null || row.keptAt + keepMs > now) continue;
      if (row.message === null) this.#database.platformIds.delete(key);
      else this.#database.platformIds.set(key, { ...row, ack: null });
      dropped++;
    }
    return dropped;
  }
}

/** Levels only rise, a failure once reported stays, and the first ack's time decides how long all are kept. */
function kept(known: PlatformIdRow | undefined, ack: InboxAck, now: number): PlatformIdRow {
  if (!known?.ack) return { message: null, ack: copyAck(ack), keptAt: now };
  const higher = reaches(known.ack.level, ack.level) ? known.ack : ack;
  return { ...known, ack: copyAck({ ...higher, nack: known.ack.nack ?? ack.nack }) };
}
