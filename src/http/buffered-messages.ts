/** Asking for a message that was accepted into the buffer, before it is in the store and while the store is away. */
import { type EntryPlace, partitionOf, peekAtEntry } from '../engine/buffer-entry.ts';
import type { BufferStreams } from '../engine/buffer-ports.ts';
import { MESSAGE_LIMITS } from '../engine/message.ts';
import type { Clock } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import type { RoomKey } from '../room/room.ts';
import type { HttpDependencies } from './dependencies.ts';
import type { RoomMessageView } from './schemas.ts';
import { viewOfBuffered } from './views.ts';

export interface BufferedMessageSources {
  /** Asks the store. */
  readonly find: (key: RoomKey, messageId: string) => Promise<RoomMessageView | null>;
  readonly streams: Pick<BufferStreams, 'find'>;
  readonly partitions: number;
  readonly clock: Pick<Clock, 'now' | 'after'>;
}

/** A store that stands still is waited for so long before the buffer is asked. */
const STORE_MS = 1_000;

/** Asks the store, then the buffer, then the store again: between the first two the message may have been inserted. */
export function findInStoreOrBuffer(from: BufferedMessageSources): HttpDependencies['findRoomMessage'] {
  const { find, streams, partitions, clock } = from;

  async function findBuffered(key: RoomKey, messageId: string, { partition, entry }: EntryPlace, asOf: number) {
    const found = await streams.find(partition, entry, MESSAGE_LIMITS.maxBytes).catch((cause: unknown) => {
      throw new RoomlineError('not_ready', { detail: 'Redis is away', cause });
    });
    const draft = found === null ? null : peekAtEntry(found.entry, { partition, partitions });
    if (found === null || draft === null || draft.messageId !== messageId) return null;
    const { tenant, channel, room } = draft.key;
    const isItsRoom = tenant === key.tenant && channel === key.channel && room === key.room;
    return isItsRoom ? viewOfBuffered(draft, found.buriedFor, asOf) : null;
  }

  /** Null also where the store does not answer. */
  async function findSoon(key: RoomKey, messageId: string): Promise<RoomMessageView | null> {
    const { promise: late, resolve } = Promise.withResolvers<null>();
    const cancel = clock.after(STORE_MS, () => resolve(null));
    const stored = find(key, messageId).catch(() => null);
    return Promise.race([stored, late]).finally(cancel);
  }

  return async (key, messageId, place) => {
    if (place === undefined || place.partition !== partitionOf(key, partitions)) return find(key, messageId);
    const asOf = Math.floor(clock.now());
    return (
      (await findSoon(key, messageId)) ??
      (await findBuffered(key, messageId, place, asOf)) ??
      (await find(key, messageId))
    );
  };
}
