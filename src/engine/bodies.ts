import type { RoomAddress } from '../room/room.ts';
import { Batcher } from './batcher.ts';
import { requestIdIn } from './message.ts';
import type { RoomStore } from './ports.ts';

/** Bodies of waiting messages, kept by the process whose insert returned them, up to a bound; else read in batches. */
export class Bodies {
  readonly #kept = new Map<string, Uint8Array>();
  readonly #maxBytes: number;
  readonly #reads: Batcher<RoomAddress & { sequence: number }, Uint8Array | null>;
  #bytes = 0;

  constructor(store: RoomStore, maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#reads = new Batcher({ maxRows: 200, flush: (wanted) => store.readBodies(wanted) });
  }

  keep(address: RoomAddress, sequence: number, body: Uint8Array): void {
    if (body.length > this.#maxBytes) return;
    // Where the database has gone back in time, a number may be given again to another message.
    this.drop(address, sequence);
    this.#kept.set(keyOf(address, sequence), body);
    this.#bytes += body.length;
    for (const [oldest, bytes] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#kept.delete(oldest);
      this.#bytes -= bytes.length;
    }
  }

  drop(address: RoomAddress, sequence: number): void {
    const key = keyOf(address, sequence);
    const body = this.#kept.get(key);
    if (body === undefined) return;
    this.#kept.delete(key);
    this.#bytes -= body.length;
  }

  /** What was kept may be of a past that is no more. */
  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  /** What is in memory of it. */
  kept(address: RoomAddress, sequence: number): Uint8Array | undefined {
    return this.#kept.get(keyOf(address, sequence));
  }

  /** Of the request that brought the message; absent where none did, or its body is not in memory. */
  requestIdOf(address: RoomAddress, sequence: number): string | undefined {
    const body = this.kept(address, sequence);
    return body === undefined ? undefined : (requestIdIn(body) ?? undefined);
  }

  /** Null where the message has left the room. */
  read(address: RoomAddress, sequence: number): Promise<Uint8Array | null> {
    const kept = this.kept(address, sequence);
    if (kept !== undefined) return Promise.resolve(kept);
    return this.#reads.submit({ shard: address.shard, id: address.id, sequence });
  }
}

function keyOf(address: RoomAddress, sequence: number): string {
  return `${address.id}:${sequence}`;
}
